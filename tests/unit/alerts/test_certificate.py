import math
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.alerts.certificate import CertificateLook
from api.util.clock import FakeClock


def write(path: Path, clock: FakeClock, days: float) -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box")])
    made = x509.CertificateBuilder(name, name, key.public_key(), 1).not_valid_before(clock.now() - timedelta(days=9))
    signed = made.not_valid_after(clock.now() + timedelta(days=days)).sign(key, hashes.SHA256())
    path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))


def test_the_days_count_down_and_a_renewed_one_is_seen(tmp_path: Path, clock: FakeClock):
    path = tmp_path / "fullchain.pem"
    write(path, clock, 10)
    look = CertificateLook(path, clock)
    assert round(look.days_left(), 3) == 10
    clock.advance(11 * 86_400)
    assert round(look.days_left(), 3) == -1
    write(path, clock, 90)
    clock.advance(601)
    assert 89 < look.days_left() < 90


def test_what_is_not_there_or_none_is_unknown(tmp_path: Path, clock: FakeClock):
    (tmp_path / "x.pem").write_text("no certificate")
    for path in (None, tmp_path / "absent.pem", tmp_path / "x.pem", tmp_path):
        assert math.isnan(CertificateLook(path, clock).days_left())
