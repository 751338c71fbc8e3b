"""A login says yes or no, and neither its words nor its time say why not."""

from __future__ import annotations

import base64
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gatehouse import passwords
from gatehouse.accounts import Account, log_in
from gatehouse.errors import AuthUnavailableError, InvalidCredentialsError
from gatehouse.stores.admins import AdminRecord, RecordError

RIGHT = "correct horse battery staple"


class Hasher:
    """Counts how often Argon2id is computed, and computes something quick instead."""

    def __init__(self) -> None:
        self.computed = 0
        self.old = "$argon2id$old$"

    def hash(self, password: str) -> str:
        self.computed += 1
        return f"$argon2id$new${password}"

    def verify(self, stored: str, password: str) -> bool:
        self.computed += 1
        if stored.rpartition("$")[2] != password:
            raise passwords.VerificationError
        return True

    def check_needs_rehash(self, stored: str) -> bool:
        return stored.startswith(self.old)


class Records:
    """Admin records in memory; *trouble* is raised by every access."""

    def __init__(self, *records: AdminRecord, trouble: Exception | None = None) -> None:
        self.kept = {record.username: record for record in records}
        self.asked: list[str] = []
        self.replaced: list[AdminRecord] = []
        self.trouble = trouble
        self.somebody_was_faster = False
        self.cannot_write: Exception | None = None

    def get(self, username: str) -> AdminRecord | None:
        self.asked.append(username)
        if self.trouble:
            raise self.trouble
        return self.kept.get(username)

    def replace(self, record: AdminRecord) -> bool:
        if self.cannot_write:
            raise self.cannot_write
        self.replaced.append(record)
        return not self.somebody_was_faster


def legacy(username: str = "ada", password: str = RIGHT, salt: str = "s4lt") -> AdminRecord:
    """A record as the original system wrote it."""
    digest = base64.b64encode(sha256((salt + password).encode()).digest()).decode()
    return AdminRecord(username=username, role="admin", hash=digest, salt=salt, etag='"1"')


def modern(username: str = "ada", password: str = RIGHT, kind: str = "new") -> AdminRecord:
    return AdminRecord(username=username, role="admin", hash=f"$argon2id${kind}${password}", etag='"1"')


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Hasher:
    counting = Hasher()
    monkeypatch.setattr(passwords, "_HASHER", counting)
    return counting


def refused(records: Records, username: str, password: str) -> str:
    with pytest.raises(InvalidCredentialsError) as caught:
        log_in(records, username, password)
    return f"{caught.value} {caught.value.details} {caught.value.headers}"


# ---------------------------------------------------------------------------------------------- yes, no, and why not


@pytest.mark.parametrize("record", [legacy(), modern(), modern(kind="old")])
def test_the_right_password_logs_in_whatever_kind_of_hash_is_kept(record: AdminRecord, hasher: Hasher) -> None:
    assert log_in(Records(record), "ada", RIGHT) == Account("ada", "admin")


def test_every_refusal_costs_at_least_one_argon2_computation(hasher: Hasher) -> None:
    """An unknown user was answered at once, and so every username could be found out with a clock."""
    spent: dict[str, int] = {}
    for name, records, username in [
        ("unknown user", Records(), "nobody"),
        ("known user", Records(modern()), "ada"),
        ("known user, old parameters", Records(modern(kind="old")), "ada"),
        ("known user, old hash", Records(legacy()), "ada"),
        ("no username at all", Records(), "../x"),
    ]:
        hasher.computed = 0
        refused(records, username, "wrong")
        spent[name] = hasher.computed
    assert set(spent.values()) == {1}, spent


def test_a_success_costs_what_a_refusal_costs_for_old_and_new_hashes(hasher: Hasher) -> None:
    for record in (modern(), legacy()):
        hasher.computed = 0
        log_in(Records(record), "ada", RIGHT)
        assert hasher.computed == 1


def test_an_unknown_user_and_a_wrong_password_read_the_same(hasher: Hasher) -> None:
    said = {refused(Records(modern()), "ada", "wrong"), refused(Records(), "ada", "wrong"),
            refused(Records(legacy()), "ada", "wrong"), refused(Records(), "A/../B", "wrong")}  # fmt: skip
    assert len(said) == 1


@pytest.mark.parametrize("username", ["a", "ab", "abc", "0", "a.b", "a_b-c.d", "a" * 64])
def test_a_short_username_logs_in_like_any_other(username: str, hasher: Hasher) -> None:
    """Three letters crashed the original login."""
    assert log_in(Records(modern(username)), username, RIGHT).username == username


@pytest.mark.parametrize("username", [
    "", "A", "Ada", "../ada", "ada/../bob", "ada/x", ".ada", "-ada", "_ada", "ada\n", "ada\x00", "a" * 65, "ada ",
    "adä",
    "ada%2f", "ada.json/..", "\uff41da", "ada\r\nx",
])  # fmt: skip
def test_a_name_that_is_not_a_username_never_gets_near_an_objects_key(username: str, hasher: Hasher) -> None:
    records = Records(modern(username or "x"))
    refused(records, username, RIGHT)
    assert records.asked == []


@given(st.text(max_size=70))
@settings(max_examples=300)
def test_what_gets_near_an_objects_key_is_one_plain_segment(username: str) -> None:
    records = Records(trouble=RecordError())  # spares the test the Argon2 of unknown users
    patched = pytest.MonkeyPatch()
    patched.setattr(passwords, "_HASHER", Hasher())
    with patched.context(), pytest.raises((InvalidCredentialsError, AuthUnavailableError)):
        log_in(records, username, "x")
    patched.undo()
    for asked in records.asked:
        assert asked.isascii()
        assert asked[0].isalnum()
        assert not set(asked) - set("abcdefghijklmnopqrstuvwxyz0123456789._-")


@pytest.mark.parametrize("trouble", [RecordError("broken"), TimeoutError(), ConnectionError("s3"), KeyError("Body")])
def test_a_record_that_cannot_be_read_is_not_a_wrong_password(trouble: Exception, hasher: Hasher) -> None:
    with pytest.raises(AuthUnavailableError):
        log_in(Records(trouble=trouble), "ada", RIGHT)


def test_what_goes_wrong_with_a_record_is_logged_without_what_it_said(
    hasher: Hasher, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(AuthUnavailableError):
        log_in(Records(trouble=RuntimeError("hash=abc")), "ada", RIGHT)
    logged = capsys.readouterr().out
    assert "RuntimeError" in logged
    assert "abc" not in logged
    assert RIGHT not in logged


# ------------------------------------------------------------------------------------------- old hashes become new


@pytest.mark.parametrize("record", [legacy(), modern(kind="old")])
def test_a_login_replaces_an_old_hash_over_the_version_it_was_read_from(record: AdminRecord, hasher: Hasher) -> None:
    records = Records(record)
    log_in(records, "ada", RIGHT)
    (new,) = records.replaced
    assert (new.username, new.role, new.etag, new.salt) == ("ada", "admin", record.etag, "")
    assert new.hash == f"$argon2id$new${RIGHT}"


def test_a_login_leaves_a_current_hash_as_it_is(hasher: Hasher) -> None:
    records = Records(modern())
    log_in(records, "ada", RIGHT)
    assert records.replaced == []


def test_a_refused_login_replaces_nothing(hasher: Hasher) -> None:
    records = Records(legacy())
    refused(records, "ada", "wrong")
    assert records.replaced == []


def test_a_login_counts_although_its_hash_could_not_be_replaced(
    hasher: Hasher, capsys: pytest.CaptureFixture[str]
) -> None:
    records = Records(legacy())
    records.cannot_write = RuntimeError(RIGHT)
    assert log_in(records, "ada", RIGHT).username == "ada"
    assert RIGHT not in capsys.readouterr().out


def test_a_login_counts_although_somebody_else_was_faster_with_the_new_hash(hasher: Hasher) -> None:
    records = Records(legacy())
    records.somebody_was_faster = True
    assert log_in(records, "ada", RIGHT).username == "ada"


# ----------------------------------------------------------------------------------------------- the real Argon2id


def test_a_real_hash_is_argon2id_with_at_least_the_recommended_cost() -> None:
    stored = passwords.hashed(RIGHT)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.is_current(stored)
    assert passwords.verify(RIGHT, stored, "")
    assert not passwords.verify(RIGHT + " ", stored, "")


def test_two_hashes_of_one_password_differ() -> None:
    assert passwords.hashed(RIGHT) != passwords.hashed(RIGHT)


@pytest.mark.parametrize("stored", ["$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$x$y", "$argon2", "$argon2x$v=19$m=8"])
def test_a_broken_hash_lets_nobody_in(stored: str) -> None:
    assert not passwords.verify(RIGHT, stored, "")


@pytest.mark.parametrize("password", ["", "wrong", RIGHT.upper(), RIGHT + "x", "s4lt" + RIGHT, "pässwörd"])
def test_an_old_hash_takes_one_password_and_no_other(password: str, hasher: Hasher) -> None:
    assert not passwords.verify(password, legacy().hash, "s4lt")
    assert not passwords.verify(RIGHT, legacy().hash, "salt")
    assert not passwords.verify(RIGHT, "", "s4lt")
    assert not passwords.verify(RIGHT, "kein-ascii-ä", "s4lt")


def test_an_old_hash_is_not_current() -> None:
    assert not passwords.is_current(legacy().hash)


def test_a_record_shows_neither_hash_nor_salt() -> None:
    assert legacy().hash not in repr(legacy())
    assert "s4lt" not in repr(legacy())
