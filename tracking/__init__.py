"""Learn what happened to a mail after it left. The app is wired in; it holds nothing yet."""
