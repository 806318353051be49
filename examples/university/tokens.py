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
import tempfile
import time
from pathlib import Path

SECRET_FILE = Path(__file__).parents[2] / "target" / "university-secret"
SECRET_BYTES = 32
LIFETIME_S = 12 * 3600


def encode(data):
    """Base64 for URLs, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def secret():
    """The secret, which only this user can read."""
    if not SECRET_FILE.exists():
        SECRET_FILE.parent.mkdir(exist_ok=True)
        # Another call may do the same at this moment. A link is made completely or not at all, and only the
        # first one is.
        with tempfile.NamedTemporaryFile(dir=SECRET_FILE.parent) as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            os.fsync(file.fileno())
            try:
                os.link(file.name, SECRET_FILE)
            except FileExistsError:
                pass
    key = SECRET_FILE.read_bytes()
    if len(key) != SECRET_BYTES:
        sys.exit(f"{SECRET_FILE} does not have {SECRET_BYTES} bytes: delete it, and create new tokens")
    return key


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
