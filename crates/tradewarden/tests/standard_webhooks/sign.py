"""Signs bodies with the standardwebhooks package: one JSON request a line in, headers out."""

import datetime
import json
import sys

from standardwebhooks.webhooks import Webhook

for line in sys.stdin:
    asked = json.loads(line)
    at = datetime.datetime.fromtimestamp(asked["at"], tz=datetime.timezone.utc)
    signature = Webhook(asked["secret"]).sign(asked["id"], at, asked["body"])
    print(json.dumps({"signature": signature}), flush=True)
