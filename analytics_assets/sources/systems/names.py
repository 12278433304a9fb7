"""Which columns of a source are probably ours, by their names.

Belongs here: names that exports of any kind give our columns. Does not belong here: the export of a
known system, which is declared.
"""

from collections.abc import Collection, Sequence
from typing import Any

import yaml

from analytics_assets.sources.config import SourceConfig
from analytics_assets.sources.readers.base import fold_name
from analytics_assets.sources.systems import system_of
from analytics_assets.sources.systems.base import columns_of, has_all

# Compared without case, blanks and punctuation.
SYNONYMS = {
    "order_id": "order invoice invoiceno invoicenumber ordernumber orderno transactionid id",
    "line_number": "line lineno linenumber lineitem position orderitemid item",
    "ordered_at": "orderdate orderedon date createdat invoicedate placedat purchasedate datetime "
    "timestamp orderpurchasetimestamp transactiondate",
    "customer_id": "customer customerid client clientid buyer buyerid userid user memberid "
    "customeruniqueid",
    "product_id": "product productid sku stockcode item itemid article articleid variantid "
    "lineitemsku asin",
    "quantity": "qty units pieces amountordered lineitemquantity count",
    "unit_price": "price unitprice priceeach itemprice lineitemprice saleprice",
    "amount": "linetotal amount revenue sales",
    "status": "orderstatus financialstatus",
    "updated_at": "updatedat modifiedat changedat lastmodified",
    "country": "country shippingcountry billingcountry countrycode",
    "product_name": "description productname title lineitemname itemname",
    "product_category": "category productcategory department productcategoryname",
    "category": "category productcategory department type",
    "list_price": "listprice price msrp",
    "unit_cost": "cost unitcost cogs",
    "currency": "currency currencycode",
    "coupon": "coupon couponcode discountcode",
    "email": "email emailaddress mail",
    "first_name": "firstname givenname",
    "last_name": "lastname surname familyname",
    "registered_at": "registeredat createdat signupdate joinedat registrationdate",
    "city": "city town",
    "session_id": "session sessionid visitid",
    "started_at": "startedat start sessionstart beganat starttime timestamp",
    "ended_at": "endedat end sessionend endtime",
    "page_views": "pageviews views pages",
    "device": "device devicecategory devicetype",
    "channel": "channel source medium utmsource channelgrouping",
}  # fmt: skip
ADDRESSES = ("email", "emailaddress", "customeremail", "buyeremail", "useremail", "mail")


def propose(config: SourceConfig, found: Sequence[str]) -> dict[str, str]:
    """Values of `columns` for columns that are probably ours under another name, as YAML."""
    taken = {*config.columns.values(), *config.inputs}
    free = [name for name in found if name not in taken]
    given = {*config.columns, *config.computed}
    given |= {ours for ours in config.contract.columns if has_all(found, [ours])}
    system = system_of(found) if config.source == "orders" else None
    if system is None:
        guessed = guess(config.contract.columns, free, given)
        return {ours: in_flow(theirs) for ours, theirs in guessed.items()}
    proposal = {}
    for column in system.columns:
        if column.of_order or column.amount or column.ours == "status":
            continue  # needs further words: `check-sources FILE --write` writes them
        forms = (form for form in column.forms if has_all(found, columns_of(form)))
        form = next(forms, None)
        if form is not None and column.ours not in given:
            proposal[column.ours] = in_flow(form)
    customer = proposal.get("customer_id")
    if customer and is_address(customer) and config.customer_key is None:
        proposal["customer_id"] += "  # an address: write `customer_key: email` below `orders` too"
    return proposal


def guess(
    columns: Sequence[str], found: Sequence[str], given: Collection[str] = ()
) -> dict[str, str]:
    """Our columns and the source's that have one of their names."""
    plain = {plain_name(name): name for name in found}
    guessed: dict[str, str] = {}
    for ours in columns:
        if ours in given:
            continue
        for word in (ours.replace("_", ""), *SYNONYMS.get(ours, "").split()):
            if word in plain and plain[word] not in guessed.values():
                guessed[ours] = plain[word]
                break
    return guessed


def plain_name(name: str) -> str:
    """A name without case, blanks and punctuation."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def is_address(text: str) -> bool:
    """Whether the name of a column, or an expression, is that of an e-mail address."""
    return "email" in plain_name(text) or fold_name(text) == "mail"


def in_flow(value: Any) -> str:
    """A value as YAML writes it on one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False
    )
    return text.removesuffix("...\n").strip()
