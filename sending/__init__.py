"""Take in what is to be sent, and send it: acceptance, ledger, delivery."""
