"""Keep lists clean: find addresses that mail should not go to, and stop it, and take that back."""
