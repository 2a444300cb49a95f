"""A transformer of the library `transformers`, by its own configuration, as an encoder of texts.

The library is looked for only here. Nothing from a directory is run: no code that came with a model, no pickle.
"""

from __future__ import annotations

from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import Any

from torch import Tensor

from flambeau.errors import ModelError
from flambeau.models.text import BodyEncoder, weights_of_body

FILES = ("config.json", "tokenizer.json", "model.safetensors")
# Keys that name code, a place of the machine where the model was saved, or what the library would load beside it.
_UNWANTED = ("auto_map", "custom_pipelines", "name_or_path", "architectures", "dtype", "torch_dtype",
             "quantization_config", "attn_implementation", "experts_implementation")  # fmt: skip
# The library's other kinds take pictures or sounds, write texts, or fetch parts of theirs from the hub.
ENCODER_KINDS = ("albert", "bert", "camembert", "convbert", "deberta", "deberta-v2", "distilbert", "electra", "ernie",
                 "esm", "flaubert", "ibert", "megatron-bert", "mobilebert", "modernbert", "mpnet", "nomic_bert",
                 "nystromformer", "rembert", "roberta", "roberta-prelayernorm", "roformer", "squeezebert", "xlm",
                 "xlm-roberta", "xlm-roberta-xl", "xmod")  # fmt: skip


def library(name: str = "transformers") -> Any:
    """The library. Raises ModelError where it is not installed."""
    try:
        found = import_module(name)
    except ImportError as error:
        raise ModelError(
            f"a model of the library {name} needs it, and it is not installed",
            expected="--model text_bag, or the library",
            command="pip install 'flambeau[texts]'",
        ) from error
    if name == "transformers":
        found.utils.logging.disable_progress_bar()
    return found


def find_directory(place: str) -> Path:
    """The directory of a model: on disk, or fetched from the hub by its name, such as "prajjwal1/bert-mini".

    Raises:
        ModelError: it is neither, or lacks a file.
    """
    path = Path(place).expanduser()
    if not path.is_dir():
        hub = library("huggingface_hub")
        try:
            path = Path(hub.snapshot_download(place, allow_patterns=list(FILES)))
        except Exception as error:  # the hub raises whatever its client does
            raise ModelError(
                "this is no directory of a transformer, and the hub does not give it",
                got=f"{place}: {type(error).__name__}: {str(error)[:160]}",
                expected=f"a directory with {', '.join(FILES)}",
            ) from error
    missing = [name for name in FILES if not (path / name).is_file()]
    if missing:
        raise ModelError(
            "this directory holds no whole transformer",
            where=path,
            got=f"no {', '.join(missing)}",
            expected=f"{', '.join(FILES)}, as `save_pretrained` writes them",
        )
    return path


def read_directory_config(place: str) -> dict[str, Any]:
    """The configuration of a model as plain values, without names of code and places.

    Raises:
        ModelError: it cannot be read, or the library is not installed.
    """
    path = find_directory(place)
    try:
        found = library().AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        settings = dict(found.to_diff_dict())
        places = getattr(found, "max_position_embeddings", None)
        return {
            "model_type": str(found.model_type),
            **({"max_position_embeddings": places} if isinstance(places, int) else {}),
            **plain_settings(settings),
        }
    except (OSError, ValueError, KeyError) as error:
        raise ModelError("this configuration cannot be read", where=path, got=str(error)[:200]) from error


def plain_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The keys of a configuration that are names of arguments, not of code or of what the library would load."""
    return {
        key: value
        for key, value in config.items()
        if key.isidentifier()
        and not iskeyword(key)
        and key not in _UNWANTED
        and key[:1] != "_"
        and "backbone" not in key
    }


def read_directory_weights(place: str) -> dict[str, Tensor]:
    """The weights of a model of texts but for its head, from safetensors alone.

    Raises ModelError where they do not fit their configuration.
    """
    path = find_directory(place)
    try:
        body = library().AutoModel.from_pretrained(
            path, local_files_only=True, use_safetensors=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError("these weights cannot be read", where=path, got=str(error)[:200]) from error
    return weights_of_body(body)


def longest_input(config: dict[str, Any]) -> int | None:
    """How many tokens a model of this configuration can read; None where it does not say."""
    most = config.get("max_position_embeddings")
    # models of the RoBERTa family begin to count behind the number of padding
    offset = int(config.get("pad_token_id") or 0) + 1 if "roberta" in str(config.get("model_type")) else 0
    return int(most) - offset if isinstance(most, int) and most > offset else None


class DirectoryEncoder(BodyEncoder):
    """A transformer's mean over its last tokens.

    Args:
        config: with "model_type", as `read_directory_config` gives it.

    Shapes: tokens (batch, length) int, the tokenizer's numbers moved by one, 0 for padding → (batch, width).

    Raises:
        ModelError: the library does not know it, it is no encoder of texts, or the library is not installed.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        settings = plain_settings(config)
        kind = str(settings.pop("model_type", ""))
        if kind not in ENCODER_KINDS:
            raise ModelError("this is no encoder of texts", got=kind[:60], expected=", ".join(ENCODER_KINDS))
        try:
            made = library().AutoConfig.for_model(kind, **settings)
            body = library().AutoModel.from_config(made, trust_remote_code=False)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(
                "the library transformers does not know this model", got=f"{kind}: {str(error)[:160]}"
            ) from error
        super().__init__(body)
        self.known = int(body.get_input_embeddings().weight.shape[0])
