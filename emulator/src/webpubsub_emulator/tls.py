"""A certificate for localhost that the emulator makes itself."""

import contextlib
import datetime
import ipaddress
import os
import ssl
from pathlib import Path

_VALID_DAYS = 365
_RENEW_BEFORE_DAYS = 7


def load_tls_context(folder: Path, host: str) -> ssl.SSLContext:
    """Return a server context with the certificate in a folder, which is made when needed.

    Clients trust it by `folder/certificate.pem`, for example with SSL_CERT_FILE or
    NODE_EXTRA_CA_CERTS.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    if not _is_usable(certificate, key, host):
        _create_certificate(certificate, key, host)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def _is_usable(certificate: Path, key: Path, host: str) -> bool:
    from cryptography import x509

    if not key.exists():
        return False
    with contextlib.suppress(OSError, ValueError, x509.ExtensionNotFound):
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        renew_at = loaded.not_valid_after_utc - datetime.timedelta(days=_RENEW_BEFORE_DAYS)
        return _alternative_name(host) in names and renew_at > datetime.datetime.now(datetime.UTC)
    return False


def _create_certificate(certificate: Path, key_file: Path, host: str) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Web PubSub emulator")])
    hosts = dict.fromkeys(("localhost", "127.0.0.1", "::1", host))
    now = datetime.datetime.now(datetime.UTC)
    public_key = key.public_key()
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        .add_extension(
            x509.SubjectAlternativeName([_alternative_name(one) for one in hosts]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    certificate.parent.mkdir(parents=True, exist_ok=True)
    private_bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with open(key_file, "wb", opener=_open_private) as file:
        file.write(private_bytes)
    certificate.write_bytes(built.public_bytes(serialization.Encoding.PEM))


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _alternative_name(host: str):  # type: ignore[no-untyped-def]
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
