"""A model as bytes and back, without pickle.

Belongs here: serialising with skops, and the types that a stored model may contain. Does not belong
here: where the bytes are stored (`registry`).
"""

from __future__ import annotations

import io
import re
import zipfile

import skops.io
from skops.io.exceptions import UntrustedTypesFoundException

from analytics_assets.churn.data import ModelError
from analytics_assets.churn.model import ChurnModel

# The types in a model that skops does not trust by itself. It trusts public estimators of
# scikit-learn, arrays and ufuncs of NumPy, and Python's own containers and numbers.
TRUSTED_TYPES = (
    "analytics_assets.churn.model.ChurnModel",
    "analytics_assets.lifetime.purchases.BgNbdClassifier",
    "numpy.dtype",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
_EPOCH = (1980, 1, 1, 0, 0, 0)


def dump_model(model: ChurnModel) -> bytes:
    """Serialise a model for `load_model`; the same model gives the same bytes.

    skops names the files of its archive by memory addresses and gives them the current time. Here
    they get numbers and a fixed time.
    """
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    schema = files.pop("schema.json").decode()
    # The schema contains every address, as an id or in the name of a file.
    addresses = dict.fromkeys(re.findall(r'"__id__": (\d+)', schema))
    numbers = {address: str(number) for number, address in enumerate(addresses, start=1)}
    stems = {name.split(".")[0]: name for name in files}
    for number, stem in enumerate((s for s in stems if s not in numbers), start=len(numbers) + 1):
        numbers[stem] = str(number)
    schema = re.sub(
        r'(?<=")\d+(?=\.\w+")', lambda match: numbers.get(match.group(), match.group()), schema
    )
    schema = re.sub(
        r'(?<="__id__": )\d+', lambda match: numbers.get(match.group(), match.group()), schema
    )
    renamed = {
        f"{numbers[name.split('.')[0]]}.{name.split('.', 1)[1]}": data
        for name, data in files.items()
    }
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("schema.json", _EPOCH), schema)
        for name in sorted(renamed):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), renamed[name], zipfile.ZIP_DEFLATED)
    return stored.getvalue()


def load_model(data: bytes) -> ChurnModel:
    """Read a model written by `dump_model`, without running any code that it names.

    Raises:
        ModelError: the bytes are damaged, name a type that is not trusted, or are no churn model.
    """
    try:
        model = skops.io.loads(data, trusted=TRUSTED_TYPES)
    except UntrustedTypesFoundException as error:
        raise ModelError(f"The stored model has types that are not trusted: {error}") from error
    except Exception as error:  # a damaged archive can fail in any way
        raise ModelError(
            f"The stored model ({len(data):,} bytes) is damaged or incomplete and cannot be read "
            f"({type(error).__name__}). Train it again."
        ) from error
    if not isinstance(model, ChurnModel):
        raise ModelError(f"The stored object is no churn model but a {type(model).__name__}.")
    return model
