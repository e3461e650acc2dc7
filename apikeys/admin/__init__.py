"""Let operators create, edit, rotate and revoke keys."""

from apikeys.admin.forms import ApiKeyForm
from apikeys.admin.keys import ApiKeyAdmin

__all__ = ["ApiKeyAdmin", "ApiKeyForm"]
