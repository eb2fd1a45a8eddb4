import datetime
import stat
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_ssh_private_key,
    load_ssh_public_key,
)
from cryptography.x509 import verification

from huscf_flwr.deployment import CredentialsError, make_node_key, make_server_credentials


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_server_credentials(tmp_path_factory.mktemp("made"), ["server.example", "192.0.2.1"], days=30)


def certificate_of(path):
    return x509.load_pem_x509_certificate(path.read_bytes())


@pytest.mark.parametrize("name", ["server.example", "192.0.2.1"])
def test_the_authority_vouches_for_the_server_under_every_name(made, name):
    try:
        subject = x509.IPAddress(ip_address(name))
    except ValueError:
        subject = x509.DNSName(name)
    store = verification.Store([certificate_of(made.authority)])
    verifier = verification.PolicyBuilder().store(store).build_server_verifier(subject)
    chain = verifier.verify(certificate_of(made.certificate), [])
    assert len(chain) == 2


def test_nobody_vouches_under_another_name_or_after_its_end(made):
    store = verification.Store([certificate_of(made.authority)])
    later = datetime.datetime.now() + datetime.timedelta(days=31)
    builder = verification.PolicyBuilder().store(store)
    for policy, name in ((builder, "other.example"), (builder.time(later), "server.example")):
        verifier = policy.build_server_verifier(x509.DNSName(name))
        with pytest.raises(verification.VerificationError):
            verifier.verify(certificate_of(made.certificate), [])


def test_the_key_is_the_certificates_and_readable_for_its_owner_alone(made):
    key = load_pem_private_key(made.key.read_bytes(), None)
    assert key.public_key() == certificate_of(made.certificate).public_key()
    assert stat.S_IMODE(made.key.stat().st_mode) == 0o600


def test_the_authoritys_key_is_nowhere(made):
    public = certificate_of(made.authority).public_key()
    assert {path.name for path in made.key.parent.iterdir()} == {"ca.crt", "server.pem", "server.key"}
    assert load_pem_private_key(made.key.read_bytes(), None).public_key() != public


@pytest.mark.parametrize(
    ("names", "days", "message"),
    [
        ([], 30, "at least one name.*--name"),
        (["server.example"], 0, "--days 0"),
        (["sërver.example"], 30, "--name sërver.example"),
        (["https://server.example"], 30, "--name https://server.example: .* without scheme and port"),
        (["server.example:9092"], 30, "--name server.example:9092: .* without scheme and port"),
        (["server..example"], 30, "--name server..example"),
        (["-server.example"], 30, "--name -server.example"),
        ([f"{'a' * 64}.example"], 30, "--name a"),
    ],
)
def test_what_cannot_be_certified_is_named(tmp_path, names, days, message):
    with pytest.raises(CredentialsError, match=message):
        make_server_credentials(tmp_path / "none", names, days=days)
    assert not (tmp_path / "none").exists()


def test_a_nodes_key_is_one_that_flower_takes(tmp_path):
    key = make_node_key(tmp_path / "keys" / "node")
    private = load_ssh_private_key(key.private.read_bytes(), None)
    assert isinstance(private.curve, ec.SECP384R1)
    assert load_ssh_public_key(key.public.read_bytes()) == private.public_key()
    assert key.public == tmp_path / "keys" / "node.pub"
    assert stat.S_IMODE(key.private.stat().st_mode) == 0o600


def test_a_nodes_key_is_kept(tmp_path):
    first = make_node_key(tmp_path / "node").private.read_bytes()
    assert make_node_key(tmp_path / "node").private.read_bytes() == first


@pytest.mark.parametrize("lost", ["node", "node.pub"])
def test_half_a_key_is_named_and_left_alone(tmp_path, lost):
    make_node_key(tmp_path / "node")
    (tmp_path / lost).unlink()
    left = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CredentialsError, match="only one half of this key"):
        make_node_key(tmp_path / "node")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == left


@pytest.mark.parametrize("name", ["ca.crt", "server.pem", "server.key"])
def test_files_that_are_there_are_replaced_only_on_demand(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(FileExistsError, match=rf"{name} is there already: .* --force"):
        make_server_credentials(tmp_path, ["server.example"])
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"
    make_server_credentials(tmp_path, ["server.example"], replace=True)
    assert (tmp_path / name).read_text() != "mine"
