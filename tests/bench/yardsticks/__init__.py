"""What BillionMail is measured beside; each module drives one yardstick."""
