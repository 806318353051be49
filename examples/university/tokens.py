"""Access tokens for a trial on this machine, signed with a secret of its own.

    python3 examples/university/tokens.py keys                   # the key set, for the variable jwt_keys
    python3 examples/university/tokens.py token ada registrar    # a token for this subject and role

The first call creates the secret in target/university-secret.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
import time
from pathlib import Path

SECRET_FILE = Path(__file__).parents[2] / "target" / "university-secret"
LIFETIME_S = 12 * 3600


def encode(data):
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def secret():
    """The secret, which only this user can read."""
    try:
        SECRET_FILE.parent.mkdir(exist_ok=True)
        with os.fdopen(os.open(SECRET_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
    except FileExistsError:
        pass
    return SECRET_FILE.read_bytes()


def keys():
    """The key set that verifies the tokens."""
    return json.dumps({"keys": [{"kty": "oct", "alg": "HS256", "k": encode(secret())}]})


def token(subject, role, key=None):
    """A token that is valid for twelve hours."""
    claims = {
        "iss": "university",
        "aud": "students",
        "sub": subject,
        "role": role,
        "exp": int(time.time()) + LIFETIME_S,
    }
    parts = [{"alg": "HS256", "typ": "JWT"}, claims]
    signed = ".".join(encode(json.dumps(part).encode()) for part in parts)
    signature = hmac.new(key or secret(), signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{encode(signature)}"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["keys"]:
            print(keys())
        case ["token", subject]:
            print(token(subject, "student"))
        case ["token", subject, role]:
            print(token(subject, role))
        case _:
            sys.exit(__doc__)
