"""Read a question about the figures from the parameters of a URL, and write the answers."""

from stats.serializers.answers import answer, as_csv
from stats.serializers.questions import read_question

__all__ = ["answer", "as_csv", "read_question"]
