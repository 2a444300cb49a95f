"""Options of models for tables whose columns are of several kinds: pictures or texts beside numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flambeau.recipe.fields import Auto, Section


class MixedOptions(Section):
    """How columns of pictures and texts meet the others in one model."""

    fusion: Auto[Literal["concat", "gated"]] = None
    """How parts are joined: side by side, or blended by gates (Arevalo et al. 2017)."""
    pictures: Auto[Literal["small_cnn", "small_resnet", "resnet"]] = None
    """The net that sees the pictures of all columns, where there are no pretrained weights."""
    picture_channels: Auto[Annotated[int, Field(ge=1, le=1024)]] = None
    """Channels of that net's first stage."""
    picture_width: Auto[Annotated[int, Field(ge=1, le=4096)]] = None
    """How many numbers each picture becomes before it meets the other columns."""
    text: Auto[Literal["text_bag", "text_cnn", "lstm", "gru", "rnn", "transformer"]] = None
    """The net that reads texts beside other columns."""
    text_width: Auto[Annotated[int, Field(ge=1, le=4096)]] = None
    """Numbers of a token's vector in that net."""
    dropout: Auto[Annotated[float, Field(ge=0, lt=1)]] = None
    """Share of what pictures and texts say that is dropped in training."""
    frozen: Auto[bool] = None
    """Leave a pretrained body as it is: its features of each picture are computed once."""
    parts: Auto[bool] = None
    """Also train on each kind of column alone, so that the report says what each of them tells."""
