"""Redaction: secrets go, what only looks like one stays, and nothing takes for ever."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.redaction.clues import find_clues
from pipelines.stages.redaction.named_secrets import rule_asked_for
from pipelines.stages.redaction.redact import redact, redact_field, redact_id, redact_repeated

# Put together here, so that no scanner takes the tests for a leak.
STRIPE = "sk_" + "live_" + "4eC39HqLyjWDarjtT1zdp7dc"
SLACK = "xoxb-" + "123456789012-abcdefGHIJKL"
GITHUB = "ghp_" + "a1B2" * 9
AWS_ID = "AKIA" + "IOSFODNN7EXAMPLE"
AWS_SECRET = "wJalr" + "XUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PASSWORD = "Tr0ub4" + "dor!"
RANDOM = "q7Zk2" + "Vx9Lm4Tn8Rb1Yc6Wd3Hs5"
HEX = "9f86d081" + "884c7d659a2feaa0c55ad015"
BASE32 = "JBSWY" + "TCPEHPKTPXQ"
SEED = "legal winner thank year wave sausage worth useful legal winner thank yellow"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("my password is hunter2", "my password is [redacted:password]"),
        ("my password is hunter2.", "my password is [redacted:password]."),
        ("what's the password? it's hunter2x", "what's the password? it's [redacted:password]"),
        ("login bob and pass s3cr3tPW99", "login bob and pass [redacted:password]"),
        ("login bob and pass the exam", "login bob and pass the exam"),
        ("pw: hunter2", "pw: [redacted:password]"),
        ("Password = hunter2", "Password = [redacted:password]"),
        ("the password was hunter2, sorry", "the password was [redacted:password], sorry"),
        ("I changed my password to hunter2!", "I changed my password to [redacted:password]!"),
        ("the wifi password: corn-flake", "the wifi password: [redacted:password]"),
        (
            "the password for the wifi is sunflower99",
            "the password for the wifi is [redacted:password]",
        ),
        ("DB_PASSWORD=abc;Server=x", "DB_PASSWORD=[redacted:password];Server=x"),
        ('{"password": "hun ter2"}', '{"password": "[redacted:password]"}'),
        ("Mein Passwort lautet geheim123", "Mein Passwort lautet [redacted:password]"),
        ("my pin is 1234", "my pin is [redacted:pin]"),
        (
            "passphrase: correct horse battery staple",
            "passphrase: [redacted:passphrase]",
        ),
        ("api key: abc123def456", "api key: [redacted:api-key]"),
        ("My API key is abc123def456", "My API key is [redacted:api-key]"),
        (
            "https://a.example/?token=abcd1234efgh&x=1",
            "https://a.example/?token=[redacted:api-key]&x=1",
        ),
        ("AKIAIOSFODNN7EXAMPLE", "[redacted:aws-key]"),
        (f"use {GITHUB} please", "use [redacted:github-token] please"),
        ("glpat-abcdefghij1234567890", "[redacted:gitlab-token]"),
        (SLACK, "[redacted:slack-token]"),
        (STRIPE, "[redacted:stripe-key]"),
        ("AIzaSyA1234567890abcdefghijklmnopqrstuv", "[redacted:google-key]"),
        ("sk-proj-abcdefghijklmnop1234", "[redacted:openai-key]"),
        ("sk-ant-api03-abcdefghijkl", "[redacted:anthropic-key]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0x.abcDEF123", "[redacted:jwt]"),
        ("Bearer abcdefghijkl1234567890", "Bearer [redacted:bearer-token]"),
        ("Authorization: Basic dXNlcjpwYXNz12", "Authorization: Basic [redacted:bearer-token]"),
        ("postgres://u:p@ss@host/db", "postgres://u:[redacted:url-password]@host/db"),
        ("4111 1111 1111 1111", "[redacted:card-number]"),
        ("4111-1111-1111-1111, exp 12/26", "[redacted:card-number], exp 12/26"),
        ("4111 1111 1111 1111 123", "[redacted:card-number] 123"),
        ("3782 822463 10005", "[redacted:card-number]"),
        ("4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1", "[redacted:card-number]"),
    ],
)
def test_redact_takes_a_secret_out(text: str, expected: str) -> None:
    """A secret is replaced by a placeholder that says its kind, and nothing else is."""
    assert expected == redact(text).text


@pytest.mark.parametrize(
    "text",
    [
        "password reset link",
        "I forgot my password",
        "The password is wrong",
        "password: must be at least 12 characters",
        "the password policy requires 12 characters",
        "passwords are hashed with bcrypt",
        "password = os.environ['DB_PASSWORD']",
        "the access key is rotated weekly",
        "pin it to the board",
        "max_tokens=4096",
        "primary_key=user_id",
        "order 4111111111111112",
        "order number 1234567890123456",
        "1683500000000 ms",
        "0.4111111111111111",
        "+49 170 1234567 8901",
        "550e8400-e29b-41d4-a716-446655440000",
        "12345678-1234-1234-1234-123456789012",
        "da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "ISBN 9783161484100",
        "http://localhost:8080/foo@bar",
        "sk-learn-based-classification-pipeline",
        "the bearer of good news",
    ],
)
def test_redact_leaves_a_text_alone_when_it_only_looks_secret(text: str) -> None:
    """Talk about passwords, order numbers, hashes and identifiers stay as they are."""
    assert (text, {}) == (redact(text).text, redact(text).counts)


@pytest.mark.parametrize(
    "key",
    [
        "hf_" + "abcdefghij" * 3 + "abcd",
        "npm_" + RANDOM + "abcdefghij",
        "pypi-" + "AgEIcHlwaS5vcmc" + RANDOM * 2,
        "SG." + RANDOM + "." + RANDOM,
        "SK" + HEX,
        "key-" + HEX,
        HEX + "-us14",
        "shpss_" + HEX,
        "dapi" + HEX,
        "MTA" + "x4" * 11 + "." + "GabcDe" + "." + RANDOM + "abcdefghij",
        "1234567890:AA" + RANDOM + "abcdef",
        "ntn_" + RANDOM + "abcdefghij",
        "lin_api_" + RANDOM + "abcdefghij",
        "ATATT3" + RANDOM + RANDOM,
        "PMAK-" + "9f86d081884c7d659a2feaa0" + "-" + HEX,
        "hvs." + RANDOM,
        "pscale_tkn_" + RANDOM,
        "NRAK-" + "ABCDEFGH0123456789ABCDEFGHJ",
        "glsa_" + RANDOM + "_0a1b2c3d",
        "gsk_" + RANDOM + RANDOM,
        "r8_" + RANDOM + "abcdefghij",
        "dckr_pat_" + RANDOM,
        "xkeysib-" + HEX * 2 + "-" + RANDOM,
        "AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L",
        "sq0atp-" + RANDOM,
        "LTAI" + RANDOM[:20],
        "abc8Q~" + RANDOM + "abcdefgh"[: 34 - len(RANDOM)] + "x" * (26 - len(RANDOM)),
        "a" * 14 + ".atlasv1." + RANDOM * 2,
        "glrt-" + RANDOM,
        "xapp-1-A1B2-" + RANDOM,
        "eyJhbGciOiJkaXIifQ.." + RANDOM + "." + RANDOM + "." + RANDOM,
    ],
)
def test_redact_knows_a_key_by_its_form_wherever_it_stands(key: str) -> None:
    """A maker's key needs no word before it: in prose, JSON, brackets, escapes and URLs."""
    for text in (f"here: {key} ok", f'{{"x": "{key}"}}', f"({key})", f"log\\n{key}", f"a%3D{key}"):
        assert key not in redact(text).text


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"aws_secret_access_key = {AWS_SECRET}", AWS_SECRET),
        (f"{AWS_ID} / {AWS_SECRET}", AWS_SECRET),
        (f"{AWS_ID}:{AWS_SECRET}", AWS_SECRET),
        (f"the secret is {AWS_SECRET}", AWS_SECRET),
        (f"AccountName=x;AccountKey={RANDOM}==;EndpointSuffix=y", RANDOM),
        (f"SharedAccessKeyName=Root;SharedAccessKey={RANDOM}=", RANDOM),
        (f"https://x.blob.example/c?sv=2022-11-02&sp=rl&sig={RANDOM}%3D", RANDOM),
        (f"Authorization: Token {RANDOM}", RANDOM),
        (f"authorization=Basic {RANDOM}", RANDOM),
        (f"Set-Cookie: theme=dark; sid={RANDOM}; HttpOnly", RANDOM),
        (f"X-Api-Key: {RANDOM}", RANDOM),
        (f"postgresql+psycopg://app:{PASSWORD}@db:5432/app", PASSWORD),
        (f"postgres:\\/\\/u:{PASSWORD}@h\\/x", PASSWORD),
        (f"redis://:{PASSWORD}@cache:6379/0", PASSWORD),
        (f"jdbc:oracle:thin:scott/{PASSWORD}@//h:1521/x", PASSWORD),
        (f"jdbc:sqlserver://h;user=sa;password={PASSWORD};", PASSWORD),
        (f"Driver={{ODBC}};Server=h;UID=sa;PWD={{{PASSWORD}}};", PASSWORD),
        (f"Data Source=h;User ID=sa;Pwd={PASSWORD}", PASSWORD),
        (f"host=h user=u password='{PASSWORD}' dbname=x", PASSWORD),
        (f"SMTP_PASS={PASSWORD}", PASSWORD),
        (f"export TOKEN={RANDOM}", RANDOM),
        (f'const stripeSecretKey = "{RANDOM}"', RANDOM),
        (f"here is the key {RANDOM}", RANDOM),
        (f"curl -u bob:{PASSWORD} https://x.example", PASSWORD),
        (f"sshpass -p '{PASSWORD}' ssh root@x", PASSWORD),
        (f"echo {PASSWORD} | sudo -S ls", PASSWORD),
        (f"mysql -u root -p{PASSWORD} db", PASSWORD),
        (f"redis-cli -a {PASSWORD} ping", PASSWORD),
        (f"docker login -u bob -p {PASSWORD} registry", PASSWORD),
        (f"psql --password {PASSWORD}", PASSWORD),
        (f"ALTER USER bob WITH PASSWORD '{PASSWORD}';", PASSWORD),
        (f"CREATE USER bob IDENTIFIED BY '{PASSWORD}'", PASSWORD),
        (f"machine h login bob password {PASSWORD}", PASSWORD),
        (f"requirepass {PASSWORD}", PASSWORD),
        (f"<db:password>{PASSWORD}</db:password>", PASSWORD),
        (f"| password | {PASSWORD} |", PASSWORD),
        (f"**Password:** `{PASSWORD}`", PASSWORD),
        (f"Password\n{PASSWORD}", PASSWORD),
        (f'{{"arguments": "{{\\"password\\": \\"{PASSWORD}\\"}}"}}', PASSWORD),
        (f'"password": "{PASSWORD}\\"tail9"', "tail9"),
        (f"password={PASSWORD}&tail9 and more", "tail9"),
        (f"the passphrase for prod is {PASSWORD}", PASSWORD),
        (f"the password that I set is {PASSWORD}", PASSWORD),
        (f"the new password is going to be {PASSWORD}", PASSWORD),
        (f"it has been reset, the password's {PASSWORD}", PASSWORD),
        (f"my password ({PASSWORD}) leaked", PASSWORD),
        (f"pw - {PASSWORD}", PASSWORD),
        (f"{PASSWORD} is my password", PASSWORD),
        (f"use {PASSWORD} as the wifi password", PASSWORD),
        (f"credentials: admin / {PASSWORD}", PASSWORD),
        (f"log in with bob / {PASSWORD}", PASSWORD),
        (f"пароль: {PASSWORD}", PASSWORD),
        (f"密码是{PASSWORD}", PASSWORD),
        (f"WIFI:T:WPA;S:guest;P:{PASSWORD};;", PASSWORD),
        (f"WPA2 key: {PASSWORD}", PASSWORD),
        ("the door code is 4921", "4921"),
        ("PIN 4921", "4921"),
        ("your 2FA code: 482913", "482913"),
        ("Your Acme code is 482913", "482913"),
        ("482913 is your verification code", "482913"),
        ("CVV 837", "837"),
        (f"otpauth://totp/X:bob?issuer=X&secret={BASE32}", BASE32),
        (f"TOTP secret: {BASE32}", BASE32),
        (f"my seed phrase is {SEED}", "sausage"),
        (f"the 12 words are: {SEED}", "sausage"),
        ("4111.1111.1111.1111", "1111.1111"),
        ("4111  1111  1111  1111", "1111  1111"),
        ("log\\n4111111111111111", "4111111111111111"),
        ("password: " + "a1B2" * 300, "a1B2"),
        ('"token": "' + "a1B2" * 90 + '"', "a1B2"),
    ],
)
def test_redact_takes_a_secret_out_of_its_usual_places(text: str, secret: str) -> None:
    """Settings, headers, commands, URLs and the phrasings of people: nothing of it is left."""
    assert secret in text
    assert secret not in redact(text).text


@pytest.mark.parametrize(
    "text",
    [
        "The secret of a good soup is patience, and the key is fresh thyme.",
        "I pass the bakery every morning; pass: the salt, please.",
        "He was the key witness, key takeaway: ship smaller releases.",
        "The token gesture cost 20 euros and the session was long.",
        "our code is in git, the error code is 500 and the zip code is 94107",
        "Your ZIP code is 94107",
        "I watched season 3 with my monkey; turkeys have 2 wings.",
        "Is my password the problem? No, the server was down.",
        "the password is probably expired, please try resetting it",
        "password: $DB_PASSWORD and ${DB_PASSWORD} and {{ password }}",
        "self.password = password",
        "token = secrets.token_hex(16)",
        "if group_key == 'm':",
        "OPENAI_API_KEY=<your key here>",
        "idempotency_key: s-42/final",
        "The public key: ssh-ed25519 is fine to share",
        "wifi: 802.11ac/802.11ax",
        "login: https://example.com/signin2",
        "docker run -d -p 5432:5432 postgres:16-alpine",
        "pip install numpy==2.3.1 --no-deps",
        "sha512-" + "q7Zk2Vx9Lm4Tn8Rb1Yc6Wd3Hs5" * 3 + "abcdefgh==",
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
        "see https://example.com/a/b?page=2&sort=key",
        "the 12 words are too many for a title",
        "we need pin 12 and 13 of the connector",
        "Basic training is over, bearer bonds are not",
    ],
)
def test_redact_leaves_ordinary_talk_and_code_alone(text: str) -> None:
    """What only uses the words of secrets, and variables that hold them, stay as they are."""
    assert (text, {}) == (redact(text).text, redact(text).counts)


@pytest.mark.parametrize(
    ("question", "answer", "expected"),
    [
        ("What is the admin password?", "hunter2", "[redacted:password]"),
        ("Please enter your password.", "Sure, hunter2!", "Sure, [redacted:password]!"),
        ("And the PIN?", "4921", "[redacted:pin]"),
        ("What is the admin password?", "I don't know", "I don't know"),
        ("Did you change the password?", "yes", "yes"),
        ("What is the api key?", "on 2024-05-01", "on 2024-05-01"),
        ("Where do you live?", "flat12", "flat12"),
        ("I know your password.", "hunter2", "hunter2"),
    ],
)
def test_redact_knows_the_answer_to_a_question_for_a_secret(
    question: str, answer: str, expected: str
) -> None:
    """A short answer holds the secret that the message before it asked for."""
    assert expected == redact(answer, rule_asked_for(question)).text


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("password", "correct horse", "[redacted:password]"),
        ("dbPassword", "zebra", "[redacted:password]"),
        ("DB_PASSWORD_2", "zebra", "[redacted:password]"),
        ("pin", "4921", "[redacted:pin]"),
        ("apiKey", "abcdefgh", "[redacted:api-key]"),
        ("token", RANDOM, "[redacted:api-key]"),
        ("password", "required", "required"),
        ("password", "${DB_PASSWORD}", "${DB_PASSWORD}"),
        ("max_tokens", "4096", "4096"),
        ("primary_key", "user_id_1", "user_id_1"),
        ("city", "Berlin", "Berlin"),
        ("note", "my pin is 4921", "my pin is [redacted:pin]"),
    ],
)
def test_redact_field_reads_a_value_by_the_name_it_stands_under(
    name: str, value: str, expected: str
) -> None:
    """In a field that is called a password the whole value is one."""
    assert expected == redact_field(name, value).text


def test_redact_repeated_takes_out_a_known_secret_without_any_context() -> None:
    """What was a secret in one place is one everywhere, as a whole word."""
    taken = redact("my password is hunter2").taken

    assert (
        "[redacted:password], ok; hunter22" == redact_repeated("hunter2, ok; hunter22", taken).text
    )


def test_redact_remembers_no_secret_that_somebody_else_may_say() -> None:
    """A plain word or number is not hunted down in the rest of a conversation."""
    assert {} == redact("my password is sunshine, my pin is 1984").taken


def test_redact_id_takes_out_only_what_its_form_gives_away() -> None:
    """Numeric ids and words stay; a key used as an id does not."""
    assert "4111111111111111" == redact_id("4111111111111111").text
    assert "pin=1234" == redact_id("pin=1234").text
    assert "my pin is [redacted:pin]" == redact_id("my pin is 1234").text
    assert "[redacted:github-token]" == redact_id(GITHUB).text


def test_redact_takes_a_private_key_out_with_its_body() -> None:
    """No line of a PEM block is left, whether it is closed or was cut off."""
    body = "MIIEabcdefghijklmnop/x+y=" * 3
    head, tail = "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----"

    closed = redact(f"key: {head}\n{body}\n{tail} thanks")
    cut_off = redact(f"{head}\n{body}\n{body}")

    assert "key: [redacted:private-key] thanks" == closed.text
    assert "[redacted:private-key]" == cut_off.text


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("-----BEGIN " + "OPENSSH PRIVATE KEY-----", "-----END " + "OPENSSH PRIVATE KEY-----"),
        (
            "-----BEGIN " + "PGP PRIVATE KEY BLOCK-----\nVersion: X\n",
            "-----END " + "PGP PRIVATE KEY BLOCK-----",
        ),
        (
            "---- BEGIN " + "SSH2 ENCRYPTED PRIVATE KEY ----",
            "---- END " + "SSH2 ENCRYPTED PRIVATE KEY ----",
        ),
        ("PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 3", "Private-MAC: 00"),
        ("-----BEGIN " + "RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,AB", ""),
    ],
)
@pytest.mark.parametrize("line_start", ["\n", "\n> ", "\\n"])
def test_redact_takes_out_key_files_of_every_maker(start: str, end: str, line_start: str) -> None:
    """Also quoted in a mail, escaped in JSON, with headers, or cut off before the end."""
    line = "MIIEabcdefghijklmnop/x+y="

    text = redact(line_start.join([start, line, line, line, end])).text

    assert line not in text


def test_redact_counts_secrets_by_kind() -> None:
    """The counts say how many secrets of each kind a text held."""
    result = redact("pw: hunter2, pw: hunter3 and AKIAIOSFODNN7EXAMPLE")

    assert {"password": 2, "aws-key": 1} == result.counts


_PIECES = st.sampled_from(
    [
        "password",
        "is",
        ":",
        "=",
        " ",
        "\n",
        "hunter2",
        "api key",
        "4111 1111 1111 1111",
        "://u:p@h",
        "Bearer ",
        "eyJabcdefgh1.",
        "-----BEGIN PRIVATE KEY-----",
        "[redacted:password]",
        '"',
        "'",
        "pin",
        "1234",
        "AKIAIOSFODNN7EXAMPLE",
        "sk-ant-abcdefghijklmn",
        "seed phrase",
        "x",
        "secret",
        "token",
        " is my ",
        "{",
        "|",
        "\\",
        "curl -u a:",
        "mysql -p",
        "<password>",
        "</",
        "credentials: admin / ",
        "Tr0ub4dor!",
        "WIFI:P:",
        ";",
        "&",
        "=",
        "Authorization: ",
        "cookie: a=",
        "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEYab",
    ]
)


@given(st.lists(_PIECES, max_size=14).map("".join) | st.text(max_size=80))
def test_redact_changes_nothing_when_it_is_repeated(text: str) -> None:
    """A redacted text holds no secret any more."""
    once = redact(text).text

    again = redact(once)

    assert (once, {}) == (again.text, again.counts)


@given(st.lists(st.lists(_PIECES, max_size=8).map("".join), min_size=1, max_size=4))
def test_redact_finds_the_same_when_it_knows_the_clues_of_all_texts(texts: list[str]) -> None:
    """Clues are looked for in a conversation at once, and overlook nothing in any of it."""
    clues = find_clues(texts)

    for text in texts:
        assert redact(text) == redact(text, clues=clues)
        assert redact_id(text) == redact_id(text, clues)


@pytest.mark.parametrize(
    "piece",
    [
        "-----BEGIN PRIVATE KEY-----",
        "eyJ",
        "eyJaaaaaaaa.",
        "1 ",
        "1",
        "4111 ",
        "password ",
        "password for ",
        "password is ",
        "://a:",
        "sk-a-",
        "bearer ",
        "api key ",
        '"password": "',
        "password for a a a a ",
        "x is my password ",
        "with password '",
        "curl -u a:",
        "mysql -p",
        "<password>",
        "cookie: a=",
        "credentials: a/",
        "otpauth://",
        "-----BEGIN PRIVATE KEY-----\n> ",
        "Private-Lines: 1\nMIIEabcdefghijklmnop",
        "password=$(",
        "password=a&",
        'password:"',
        "password\\\\",
        "nt",
        "key ",
        "WIFI:T:",
    ],
)
def test_redact_takes_linear_time_when_a_text_is_hostile(piece: str) -> None:
    """Ten times the text takes about ten times as long, never a hundred times."""
    small, large = (piece * (size // len(piece)) for size in (5_000, 50_000))

    # A machine may stumble once; what takes a hundred times as long does so each time.
    assert any(_seconds(large) < 40 * max(_seconds(small), 0.0003) for _ in range(3))


def _seconds(text: str) -> float:
    started = time.process_time()
    redact(text)
    return time.process_time() - started
