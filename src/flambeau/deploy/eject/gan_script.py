"""The script of a run that makes pictures: both nets, their loop, and the epoch that was kept."""

from __future__ import annotations

from typing import Any

from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.loop_facts import LoopFacts, one_process, whole_epochs
from flambeau.deploy.eject.picture_sources import Reading
from flambeau.deploy.eject.scan_texts import loader_lines
from flambeau.deploy.eject.text import Code, call, literal, one_line, script_template
from flambeau.deploy.eject.words import in_docstring, source_name, story_of
from flambeau.deploy.specialise.given import Facts, Instead
from flambeau.transforms.image import PicturePreparation

LOSS_NAMES = {
    "hinge": ("hinge_discriminator", "hinge_generator"),
    "bce": ("bce_discriminator", "bce_generator"),
}
REASON = "another number of threads gives other last bits"


def write_gan_glue(facts: RunFacts, reading: Reading, imports: str) -> str:
    """The text made for this run; core names in it stand alone.

    Args:
        imports: lines that every script begins with.
    """
    recipe = facts.recipe
    constants = [
        *(line for line in reading.constants if not line.startswith("CLASSES") or "CLASSES" in reading.body),
        f"SEED = {recipe.seed}",
        f"DEVICE = torch.device({literal(recipe.device or 'cpu')})",
    ]
    own_imports = [line for line in reading.imports if line not in imports]
    reason = facts.reasons.get("training.batch_size", "")
    context: dict[str, Any] = {
        "title": in_docstring(
            f"{source_name(facts)}: a net that makes pictures, as in the run {facts.folder.name}."
        ),
        "story": in_docstring(story_of(facts)),
        "imports": "\n".join([imports, *own_imports]),
        "constants": "\n".join(constants),
        "reading": reading.function,
        "threads": recipe.threads or 1,
        "threads_reason": REASON,
        "matmul": literal(recipe.training.matmul or "highest"),
        "deterministic": recipe.deterministic,
        "cuda": (recipe.device or "cpu").startswith("cuda"),
        "tf32": recipe.training.matmul not in (None, "highest"),
        "started": facts.started,
        "batch_size": recipe.training.batch_size or 64,
        "batch_reason": f"  # {one_line(reason)}" if reason else "",
        "ema": bool(recipe.training.ema),
        "best_epoch": facts.trainings[0]["best_epoch"],
        **_picture_texts(facts, reading),
        **_net_texts(facts),
    }
    return script_template("gan").render(context)


def _picture_texts(facts: RunFacts, reading: Reading) -> dict[str, Any]:
    preparation, picture = facts.bundle.preparation, facts.bundle.schema.picture
    assert isinstance(preparation, PicturePreparation) and picture is not None
    options = {
        name: getattr(preparation, name) for name in ("size", "channels", "bits", "fit", "interpolation")
    }
    came = (picture.height, picture.width, picture.channels, picture.bits)
    augment = facts.recipe.image.augment
    named: dict[str, Any] = {
        name: True
        for name in ("flip_horizontal", "flip_alternate", "flip_vertical")
        if getattr(augment, name)
    }
    flips = ""
    if augment.flip_horizontal or augment.flip_vertical:
        flips = call(
            "augment_pictures", Code("pictures"), Code("draws"), largest=preparation.largest, **named
        )
    return {
        "reads_files": reading.returns.startswith("list"),
        "refit_pixels": came != (*preparation.size, preparation.channels, preparation.bits),
        "tidy_pictures": reading.tidy_pictures,
        "loaders": loader_lines(preparation, reading.kinds),
        "channels": preparation.channels,
        "size": literal(preparation.size),
        "middle": literal(preparation.mean),
        "largest": float(2**preparation.bits - 1),
        "load": ", ".join(f"{name}={literal(value)}" for name, value in options.items()),
        "flips": flips,
    }


def _net_texts(facts: RunFacts) -> dict[str, Any]:
    recipe, reasons, arguments = facts.recipe, facts.reasons, dict(facts.spec.arguments)
    options = recipe.generate
    channels, size = arguments["channels"], tuple(arguments["size"])
    told = {key: reasons.get(f"generate.{key}", "") for key in ("latent", "width")}
    generator = call(
        "Generator", channels, size=size, latent=arguments["latent"], width=arguments["width"], reasons=told
    )
    spectral = bool(options.spectral_norm)
    told = {"width": "", "spectral": reasons.get("generate.spectral_norm", "")}
    discriminator = call(
        "Discriminator", channels, size=size, width=arguments["width"], spectral=spectral, reasons=told
    )
    betas = {"beta1": options.beta1 or 0.0, "beta2": options.beta2 or 0.999}
    optimizers = [
        call(
            "make_adam",
            call("parameter_groups", Code(name), lr=rate, weight_decay=0.0),
            **betas,
            device=Code("DEVICE"),
        )
        for name, rate in (("generator", options.lr), ("discriminator", options.discriminator_lr))
    ]
    losses = LOSS_NAMES[options.loss or "hinge"]
    values: dict[str, Any] = {
        "epochs": recipe.training.epochs or 1,
        "discriminator_loss": Code(losses[0]),
        "generator_loss": Code(losses[1]),
        "latent": arguments["latent"],
        "seed": Code("seed"),
        "average_decay": recipe.training.ema or 0.0,
        "together": spectral,
        "precision": recipe.training.precision or "fp32",
        "device": Code("DEVICE"),
    }
    keys = {"epochs": "training.epochs", "average_decay": "training.ema", "generator_loss": "generate.loss"}
    told = {name: reasons.get(key, "") for name, key in keys.items()}
    technique = call("GanTechnique", **values, reasons=told)
    return {
        "generator": generator,
        "discriminator": discriminator,
        "optimizers": optimizers,
        "technique": technique,
    }


def known_of_gan(facts: RunFacts) -> Facts:
    """What is known of the run beside what its text says, so that nothing stands in it which cannot happen."""
    preparation = facts.bundle.preparation
    assert isinstance(preparation, PicturePreparation)
    augment = facts.recipe.image.augment
    changes = bool(augment.flip_horizontal or augment.flip_vertical)
    planes = "pictures.is_contiguous() or not pictures.is_contiguous(memory_format=torch.channels_last)"
    device = (facts.recipe.device or "cpu").partition(":")[0]
    return {
        **whole_epochs(changes=changes),
        **one_process(LoopFacts(device=device)),
        "gather_pixels.gather": {"block.dtype == np.uint16": preparation.bits == 16},
        "parameter_groups": {"is_body": False},
        "normalise_pictures": {planes: Instead("True")},
    }
