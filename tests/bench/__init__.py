"""Measure BillionMail beside yardsticks, in one run on one machine: `make bench`."""
