"""Catch mail on this machine instead of sending it, and show it: for trying out and development.

``server`` takes mail in over SMTP, ``inbox`` keeps it as files, ``reading`` takes a mail apart
and ``views`` shows it below ``/inbox/``. Nothing here needs the database.
"""
