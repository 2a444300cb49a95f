"""Every option of a run: its type, range, default and meaning; those of the training are in `training_options`.

A field whose default is None is chosen by flambeau from the data and the machine, and the choice is told with
its reason. A value that a person gives is kept as it is.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from flambeau.recipe.chat_options import ChatOptions
from flambeau.recipe.fields import Auto, OneOf, Section
from flambeau.recipe.forecast_options import ForecastOptions
from flambeau.recipe.generate_options import GenerateOptions
from flambeau.recipe.language_options import LanguageOptions
from flambeau.recipe.mixed_options import MixedOptions
from flambeau.recipe.scan_options import ScanOptions
from flambeau.recipe.text_options import TextOptions
from flambeau.recipe.training_options import TrainingOptions


def _size_as_tuple(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


Side = Annotated[int, Field(ge=1, le=4096)]
PictureSize = Annotated[tuple[Side, Side], BeforeValidator(_size_as_tuple)]
ColumnKind = Literal["image", "number", "category", "boolean", "date", "text", "identifier", "constant"]
Initialisation = Annotated[
    str,
    OneOf(
        (
            "xavier_uniform",
            "xavier_normal",
            "kaiming_uniform",
            "kaiming_normal",
            "orthogonal",
            "trunc_normal",
            "dirac",
        ),
        "file.py:function",
    ),
]


class DataOptions(Section):
    """What is read, and how."""

    target: str | None = None
    """The column to predict. Not needed where folders name the classes."""
    test: str | None = None
    """A separate source of test samples, read like the main one; the main one is then split in two."""
    root: str | None = None
    """The folder of a data set that is known by name, such as cifar10, with its files as torchvision keeps them."""
    columns: dict[str, ColumnKind] = {}
    """Kinds of columns that flambeau should not guess."""
    drop: list[str] = []
    """Columns that the model must not see."""
    max_pixels: Annotated[int, Field(ge=1)] = 100_000_000
    """Pictures with more pixels than this are skipped and listed: a small file can unpack to gigabytes."""
    max_rows: Annotated[int, Field(ge=1)] = 50_000_000
    """Tables with more rows than this are refused."""
    cache_gb: Annotated[float, Field(gt=0)] = 20.0
    """How much disk the cache of decoded pictures may take; the least recently used goes first."""


class SplitOptions(Section):
    """Which samples train, which choose, and which only test."""

    train: Annotated[float, Field(gt=0, lt=1)] = 0.70
    """Share of the samples to train on."""
    valid: Annotated[float, Field(gt=0, lt=1)] = 0.15
    """Share of the samples that choose the best epoch; the rest is the untouched test part."""
    group: str | None = None
    """A column whose equal values stay on one side (patients, scenes, users)."""
    patients: bool = True
    """Keep pictures of one patient or scene on one side, told by DICOM tags or by names such as patient12_3.png."""
    folds: Auto[Annotated[int, Field(ge=0, le=20)]] = None
    """Folds of cross-validation for the score; 0 for one split."""
    near_duplicates: bool = True
    """Keep nearly equal pictures, and nearly equal texts, on one side."""
    refit: bool = False
    """After the honest test, train once more on all samples, test part included."""
    rows: Annotated[list[Annotated[int, Field(ge=1)]], Field(max_length=3)] = []
    """Of time series: rows to train, to choose and to test with, in the order of time, such as [8640, 2880, 2880]."""


class AugmentOptions(Section):
    """Random changes of training pictures, drawn anew each epoch. 0 or false switches one off."""

    flip_horizontal: Auto[bool] = None
    """Mirror left and right."""
    flip_alternate: bool = False
    """Where flip_horizontal is on: mirror each picture in every second epoch, not by chance (arXiv 2404.00498)."""
    flip_vertical: Auto[bool] = None
    """Mirror up and down."""
    crop: Annotated[int, Field(ge=0, le=64)] = 0
    """Pixels by which a picture is padded with its mirror image and cut out again at a random place."""
    shift: Auto[Annotated[float, Field(ge=0, le=0.5)]] = None
    """Largest shift, as a share of the side."""
    scale: Auto[Annotated[float, Field(ge=0, le=0.9)]] = None
    """Largest change of size, as a share."""
    rotate: Auto[Annotated[float, Field(ge=0, le=180)]] = None
    """Largest rotation in degrees."""
    brightness: Auto[Annotated[float, Field(ge=0, le=1)]] = None
    """Largest change of brightness, as a share of the full range."""
    contrast: Auto[Annotated[float, Field(ge=0, le=1)]] = None
    """Largest change of contrast, as a share."""
    erase: Auto[Annotated[float, Field(ge=0, le=1)]] = None
    """Probability that a rectangle is erased (random erasing, Zhong et al. 2017)."""
    mixup: Auto[Annotated[float, Field(ge=0, le=2)]] = None
    """Parameter alpha of mixup (Zhang et al. 2018): pairs of samples and their targets are blended."""


class ImageOptions(Section):
    """How pictures become tensors."""

    size: Auto[PictureSize] = None
    """Height and width in pixels that the model sees; one number for a square."""
    channels: Auto[Annotated[int, Field(ge=1, le=64)]] = None
    """1 for grey, 3 for colour."""
    resize: Literal["stretch", "pad", "crop"] = "stretch"
    """How another aspect ratio is fitted: stretched (nothing is lost), padded, or its centre cropped."""
    interpolation: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    """How pixels are resampled; bilinear and bicubic with antialiasing."""
    normalise: Auto[Literal["dataset", "imagenet", "none"]] = None
    """Statistics that pixels are normalised with: of the training pictures, of ImageNet, or none."""
    flip_average: Auto[bool] = None
    """Predict each picture and its mirror image, and average both answers."""
    augment: AugmentOptions = AugmentOptions()
    """Random changes of training pictures."""


class TableOptions(Section):
    """How columns become tensors."""

    scaling: Auto[Literal["quantile", "robust", "standard"]] = None
    """How numbers are scaled: to normal quantiles, by median and quartiles, or by mean and deviation."""
    bins: Auto[Annotated[int, Field(ge=0, le=256)]] = None
    """Bins of the piecewise-linear embedding of a number (Gorishniy et al. 2022); 0 for none."""
    rare: Annotated[int, Field(ge=1)] = 3
    """Categories seen less often than this in training count as one: rare."""
    log_target: Auto[bool] = None
    """Learn the logarithm of a target above 0, so that errors count as shares of it."""


class ModelOptions(Section):
    """Which model, and how large."""

    name: Auto[str] = None
    """A model of flambeau (resnet, tabm, text_bag, ...), of torchvision, timm or transformers, or file.py:Class."""
    pretrained: str | None = None
    """Start from these weights: a name of torchvision or timm, or a local .safetensors or .pth state dict."""
    trust_pickle: bool = False
    """Dangerous: run the code in a pickled file of weights, once, to convert it. Only where you trust its maker."""
    arch: str | None = None
    """The architecture of the weights in a local file, where matching keys and shapes does not tell."""
    width: Auto[Annotated[int, Field(ge=1, le=8192)]] = None
    """Channels of the first stage, or units of a hidden layer."""
    depth: Auto[Annotated[int, Field(ge=1, le=200)]] = None
    """Hidden layers of an MLP, or blocks a stage of a residual net."""
    dropout: Auto[Annotated[float, Field(ge=0, lt=1)]] = None
    """Share of units dropped in training."""
    members: Auto[Annotated[int, Field(ge=1, le=256)]] = None
    """Members of the ensemble inside a TabM model."""
    activation: Auto[Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]] = None
    """Activation of an MLP's hidden layers."""
    normalisation: Auto[Literal["none", "batch", "layer"]] = None
    """Normalisation between the hidden layers of an MLP."""
    init: Initialisation | None = None
    """How convolutions and linear layers begin; otherwise as the model's own constructor leaves them."""
    whiten: bool = False
    """Put a fixed convolution in front that decorrelates patches of 2x2 pixels (Jordan 2024, arXiv 2404.00498)."""


class EvaluationOptions(Section):
    """How the result is judged."""

    metric: Auto[str] = None
    """The validation score that chooses the best epoch."""
    resamples: Annotated[int, Field(ge=100, le=100_000)] = 1000
    """Bootstrap resamples of the test part."""
    baselines: bool = True
    """Fit a naive and a simple classical model on the same split."""
    operating_point: Auto[
        Annotated[str, Field(pattern=r"^(half|youden|(sensitivity|specificity)=0\.[0-9]+)$")]
    ] = None
    """Of two classes, what decides: half, youden, sensitivity=0.95 or specificity=0.95 on the validation part."""
    positive: Auto[str] = None
    """Of two classes, the one that is looked for: sensitivity is the share of it that is found."""


class Recipe(Section):
    """Everything that decides a run."""

    source: str | None = None
    """The data: a folder, a file, or the name of a built-in data set."""
    task: Auto[
        Literal["classification", "multilabel", "regression", "forecast", "language", "chat", "generate"]
    ] = None
    """What is predicted."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Seed of everything random."""
    device: Auto[str] = None
    """cpu, cuda, cuda:1, mps."""
    threads: Auto[Annotated[int, Field(ge=1, le=1024)]] = None
    """Threads of the CPU; the result is equal, bit for bit, for an equal number."""
    devices: Annotated[int, Field(ge=1, le=4096)] = 1
    """Processes that train together, each on a GPU of its own, or on CPUs where there is none."""
    deterministic: bool = False
    """On a GPU, use only kernels that repeat bit for bit (slower)."""
    log: list[Literal["tensorboard", "mlflow", "wandb"]] = []
    """Where curves are kept too, beside log.jsonl; each needs the extra of its name."""
    forecast: ForecastOptions = ForecastOptions()
    data: DataOptions = DataOptions()
    split: SplitOptions = SplitOptions()
    image: ImageOptions = ImageOptions()
    scan: ScanOptions = ScanOptions()
    table: TableOptions = TableOptions()
    text: TextOptions = TextOptions()
    model: ModelOptions = ModelOptions()
    mixed: MixedOptions = MixedOptions()
    training: TrainingOptions = TrainingOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    generate: GenerateOptions = GenerateOptions()
    language: LanguageOptions = LanguageOptions()
    chat: ChatOptions = ChatOptions()
