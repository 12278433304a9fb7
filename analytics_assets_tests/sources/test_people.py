"""Personal data in columns that are not for it: found, and little else, on a labelled set.

The set is of columns, as the detector decides for a column; each has its label. Card numbers and
IBANs are those that banks and schemes publish for tests, telephone numbers the examples of each
country in Google's libphonenumber.
"""

import random
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping

import phonenumbers
import pytest

from analytics_assets.sources.people import KINDS, kinds_of
from analytics_assets.sources.report import in_words
from analytics_assets_tests.sources.conftest import ORDERS, Source, csv_of
from analytics_assets_tests.sources.test_findings import looks

EMAILS = (
    *("anna@example.com", "a.b-c+tag@mail.example.co.uk", "X_Y@EXAMPLE.ORG", "o'hara@example.ie"),
    *("https://shop.example/unsubscribe?u=anna%40example.com&x=1", "Anna <anna@example.com>"),
    *("mailto:jo@example.museum", "call or write to jo@example.de, please"),
)
CARDS = (
    *("4242424242424242", "5555555555554444", "378282246310005", "6011111111111117"),
    *("3056930009020004", "3566002020360505", "6200000000000005", "2223003122003222"),
)
IBANS = (
    *("DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "FR1420041010050500013M02606"),
    *("NL91ABNA0417164300", "CH9300762011623852957", "ES91 2100 0418 4502 0005 1332"),
    *("refund to AT611904300234573201, thank you", "no9386011117947"),
)
IPS = ("8.8.8.8", "93.184.216.34", "2001:4860:4860::8888", "2a00:1450:4001:829::200e")
NAMES = ("Anna Smith", "José Núñez", "O'Hara, Jo", "Dr. Jörg Müller-Lüdenscheidt", "Li", "Zoë")
POSTALS = ("10115", "SW1A 1AA", "1012 AB", "K1A 0B6", "00-950", "94103-1234", "CH-8001", "EC1A1BB")


def digits(dice: random.Random, length: int) -> str:
    return "".join(dice.choices("0123456789", k=length))


def grouped(number: str) -> str:
    return " ".join(number[i : i + 4] for i in range(0, len(number), 4))


def telephones(form: int) -> list[str]:
    return [
        phonenumbers.format_number(number, form)
        for region in sorted(phonenumbers.SUPPORTED_REGIONS)
        if (number := phonenumbers.example_number(region))
    ]


def personal() -> Iterator[tuple[str, str, list[str]]]:
    """A label, the source's name of the column, and its values, for each such column."""
    dice = random.Random(7)
    plain = [f"A{digits(dice, 8)}" for _ in range(500)]
    international = telephones(phonenumbers.PhoneNumberFormat.INTERNATIONAL)
    for value in EMAILS:
        yield "e-mail addresses", "note", [*plain, value]
    yield "e-mail addresses", "Customer ID", [f"c{n}@example.com" for n in range(50)]
    for value in international:
        yield "telephone numbers", "note", [*plain, value]
    yield "telephone numbers", "sku", telephones(phonenumbers.PhoneNumberFormat.E164)
    yield "telephone numbers", "sku", [f"00{n[1:]}" for n in international]
    for value in CARDS:
        yield "card numbers", "note", [*plain, f"paid with {grouped(value)}"]
    yield "card numbers", "payment", [*CARDS]
    for value in IBANS:
        yield "IBANs", "note", [*plain, value]
    yield "IP addresses", "channel", [*IPS]
    yield "IP addresses", "device", [f"8.8.{n}.{n}" for n in range(200)]
    for column in ("Customer Name", "billing_name", "BillingName", "Nachname", "nom", "customer"):
        yield "names", column, [*NAMES]
    for column in ("Zip", "Billing Zip", "postal_code", "PLZ", "postcode", "Code Postal"):
        yield "postal codes", column, [*POSTALS]


def ordinary() -> Iterator[tuple[str, list[str]]]:
    """The source's name of a column without personal data, and its values."""
    dice = random.Random(8)
    for length in (4, 6, 8, 10, 12, 13, 14, 15, 16, 18, 19):
        yield "order_id", [digits(dice, length) for _ in range(400)]
        yield "Name", [f"#{digits(dice, length)}" for _ in range(400)]
    yield "order_id", [str(uuid.UUID(int=dice.getrandbits(128))) for _ in range(400)]
    yield "token", [f"{dice.getrandbits(128):032x}" for _ in range(400)]
    yield (
        "sku",
        [f"{dice.choice('ABCDEFG')}{dice.choice('XYZ')}{digits(dice, 6)}" for _ in range(400)],
    )
    yield "sku", [f"{digits(dice, 4)}-{digits(dice, 4)}" for _ in range(400)]
    yield "Lineitem name", ["Paul Smith Shirt", "Levi's 501 Original", "Post-It Notes", "Set of 3"]
    yield "product_category", ["Home & Garden", "Women > Shoes", "T-Shirts", "Wein"]
    yield "coupon", ["WELCOME10", "BLACK-FRIDAY-2024", "10%OFF", "@insta", "+5 EUR"]
    yield "status", ["paid", "partially_refunded", "in progress @ warehouse"]
    yield "app_version", [f"{a}.{b}.{c}" for a in range(5) for b in range(5) for c in range(5)]
    yield "version", [f"{a}.{b}.0.0" for a in range(10, 12) for b in range(9)]
    yield "created_at", [f"2024-03-{d:02} 10:11:12+02:00" for d in range(1, 29)]
    yield "created_at", [f"2024-03-{d:02}T10:11:12Z" for d in range(1, 29)]
    yield "amount", [f"{dice.uniform(0, 9999):,.2f}" for _ in range(400)]
    yield "currency", ["EUR", "USD", "CHF"]
    yield "place", [f"{dice.uniform(-90, 90):.6f},{dice.uniform(-180, 180):.6f}" for _ in range(99)]
    yield "page", ["https://shop.example/p/1?ref=mail", "/cart", "https://cdn.example:8443/a.js"]
    yield "channel", ["web", "mobile", "pos", "instagram", "10.0.0.1", "127.0.0.1"]
    yield "quantity", [str(n) for n in range(400)]
    yield "zip", ["express", "standard", "pickup"]
    yield "Shipping Method", ["Post", "DHL", "UPS"]
    yield "vat_number", ["DE123456789", "ATU12345678", "FR12345678901"]
    yield "bic", ["COBADEFFXXX", "DEUTDEFF"]
    yield "session_id", [f"{dice.getrandbits(52)}.{dice.getrandbits(30)}" for _ in range(400)]
    yield "user", [f"GA1.2.{digits(dice, 9)}.{digits(dice, 10)}" for _ in range(400)]


def scores() -> tuple[Mapping[str, float], float]:
    """The recall of each kind, and the precision of all findings."""
    seen: Counter[str] = Counter()
    labelled: Counter[str] = Counter()
    right = wrong = 0
    for label, column, values in personal():
        kinds = kinds_of(values, column)
        labelled[label] += 1
        seen[label] += label in kinds
        right += label in kinds
        wrong += len({*kinds} - {label})
    for column, values in ordinary():
        wrong += len(kinds_of(values, column))
    return {label: seen[label] / labelled[label] for label in labelled}, right / (right + wrong)


def test_precision_and_recall_on_the_labelled_set() -> None:
    recall, precision = scores()
    assert recall.keys() == {kind.words for kind in KINDS}
    assert precision >= 0.99, [
        (column, kinds) for column, values in ordinary() if (kinds := kinds_of(values, column))
    ]
    assert all(share >= 0.95 for share in recall.values()), recall


def test_what_is_said_has_no_value_and_a_remedy(source: Source) -> None:
    row = {"channel": "canary@example.org", "customer_id": "canary@example.net"}
    rows = (row, {"order_id": "O2", "channel": "web"})
    source.write("orders.csv", csv_of(*rows, columns=(*ORDERS, "channel")))
    (report,) = looks(source.config())
    said = [finding.sentence for finding in report.findings]
    assert any(s.startswith("channel: has e-mail addresses, and is no column for") for s in said)
    assert any(s.startswith("customer_id: has e-mail addresses. It is in all tables") for s in said)
    assert "canary" not in "\n".join(in_words(report))


@pytest.mark.parametrize("value", ["canary@example.org", "+49 30 123456"])
def test_a_column_that_is_personal_may_have_it(source: Source, value: str) -> None:
    source.write("customers.csv", f"customer_id,email,first_name\nC1,{value},Anna\n")
    (report,) = looks(source.config("customers.csv", "customers"))
    assert report.findings == ()
