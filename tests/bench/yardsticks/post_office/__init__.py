"""A project that does nothing but send the mail with django-post_office."""
