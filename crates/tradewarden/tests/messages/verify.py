"""Verifies one request with the standardwebhooks package: JSON as the argument, a word out."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

asked = json.loads(sys.argv[1])
try:
    Webhook(asked["secret"]).verify(asked["body"], asked["headers"])
    print("verified")
except WebhookVerificationError:
    print("refused")
