"""Standard Webhooks; the vector is from its reference library."""

import base64

from shared.security.signatures import new_standard_secret, standard_signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_reference_vector() -> None:
    signed = standard_signature([SECRET], message_id=ID, timestamp=1614265330, body=BODY)
    assert signed == SIGNATURE


def test_during_a_rotation_there_is_one_signature_for_each_secret() -> None:
    other = new_standard_secret()
    both = standard_signature([other, SECRET], message_id=ID, timestamp=1614265330, body=BODY)
    first, second = both.split(" ")
    assert second == SIGNATURE
    assert first != SIGNATURE


def test_a_secret_is_256_random_bits() -> None:
    made = {new_standard_secret() for _ in range(100)}
    assert len(made) == 100
    for secret in made:
        assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
