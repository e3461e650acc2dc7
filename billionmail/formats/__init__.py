"""Say how the dashboard writes times, in each language (settings.FORMAT_MODULE_PATH)."""
