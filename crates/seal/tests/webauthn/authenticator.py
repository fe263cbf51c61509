"""An authenticator, and a relying party beside ours, of the fido2 package.

One JSON request a line in, one answer a line out. `create` takes creation options and `get` request
options as a browser would; the answer has the response and whether fido2's own relying party takes it.
"""

import json
import os
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from fido2.cose import ES256, RS256, EdDSA
from fido2.server import Fido2Server
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorAssertionResponse,
    AuthenticatorAttestationResponse,
    AuthenticationResponse,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialCreationOptions,
    PublicKeyCredentialRequestOptions,
    PublicKeyCredentialRpEntity,
    RegistrationResponse,
)
from fido2.utils import sha256, websafe_encode

KINDS = {
    -8: (EdDSA, ed25519.Ed25519PrivateKey.generate),
    -7: (ES256, lambda: ec.generate_private_key(ec.SECP256R1())),
    -257: (RS256, lambda: rsa.generate_private_key(65537, 2048)),
}
FLAG = AuthenticatorData.FLAG


def sign(key, message):
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(hashes.SHA256()))
    return key.sign(message, padding.PKCS1v15(), hashes.SHA256())


def flags(asked):
    found = FLAG.UP
    for name in asked["flags"]:
        found |= FLAG[name]
    return found


def judge(check):
    try:
        check()
        return True
    except ValueError:
        return False


class Authenticator:
    def create(self, asked):
        options = PublicKeyCredentialCreationOptions.from_dict(asked["options"])
        algorithm = asked["algorithm"]
        assert algorithm in [offered.alg for offered in options.pub_key_cred_params]
        kind, generate = KINDS[algorithm]
        self.key, self.handle, self.rp = generate(), options.user.id, options.rp
        self.credential = AttestedCredentialData.create(
            os.urandom(16), os.urandom(48), kind.from_cryptography_key(self.key.public_key())
        )
        extensions = {"credProtect": 3, "hmac-secret": True} if "ED" in asked["flags"] else None
        data = AuthenticatorData.create(
            sha256(self.rp.id.encode()),
            flags(asked) | FLAG.AT,
            asked["counter"],
            self.credential,
            extensions,
        )
        client_data = CollectedClientData.create(
            CollectedClientData.TYPE.CREATE, options.challenge, asked["origin"]
        )
        if asked["attestation"] == "none":
            statement = {}
        else:
            signature = sign(self.key, data + client_data.hash)
            statement = {"alg": algorithm, "sig": signature}
        response = RegistrationResponse(
            raw_id=self.credential.credential_id,
            response=AuthenticatorAttestationResponse(
                client_data=client_data,
                attestation_object=AttestationObject.create(asked["attestation"], data, statement),
            ),
        )
        made = json.loads(json.dumps(dict(response)))
        made["response"]["transports"] = ["usb", "nfc"]
        state = self.state(options)
        taken = judge(lambda: self.server().register_complete(state, response))
        return {"response": made, "taken": taken}

    def get(self, asked):
        options = PublicKeyCredentialRequestOptions.from_dict(asked["options"])
        assert options.rp_id == self.rp.id
        allowed = [allowed.id for allowed in options.allow_credentials or []]
        assert not allowed or self.credential.credential_id in allowed
        data = AuthenticatorData.create(
            sha256(options.rp_id.encode()), flags(asked), asked["counter"]
        )
        client_data = CollectedClientData.create(
            CollectedClientData.TYPE.GET, options.challenge, asked["origin"]
        )
        response = AuthenticationResponse(
            raw_id=self.credential.credential_id,
            response=AuthenticatorAssertionResponse(
                client_data=client_data,
                authenticator_data=data,
                signature=sign(self.key, data + client_data.hash),
                user_handle=self.handle,
            ),
        )
        state = self.state(options)
        taken = judge(
            lambda: self.server().authenticate_complete(state, [self.credential], response)
        )
        return {"response": json.loads(json.dumps(dict(response))), "taken": taken}

    def server(self):
        return Fido2Server(PublicKeyCredentialRpEntity(id=self.rp.id, name=self.rp.name))

    def state(self, options):
        return {"challenge": websafe_encode(options.challenge), "user_verification": "required"}


authenticator = Authenticator()
for line in sys.stdin:
    asked = json.loads(line)
    answer = authenticator.create(asked) if asked["do"] == "create" else authenticator.get(asked)
    print(json.dumps(answer), flush=True)
