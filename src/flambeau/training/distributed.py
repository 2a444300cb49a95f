"""Several processes that train one model: torch's process groups and DistributedDataParallel.

Every process runs the same program on the same data. What a clock, a signal or a measurement decides is decided
by the first process, or by all together, and told to the others; gradients are added up, never averaged, because
each process weighs its loss by its share of the step's samples.
"""

# no `from __future__ import annotations`: DistributedDataParallel looks at the annotations of its hooks
import copy
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

LONGEST_COLLECTIVE = timedelta(minutes=10)
# The others wait this long while the first process reads, tries or tests alone. One that dies is noticed at once.
LONGEST_WAIT = timedelta(hours=24)
# What gloo, NCCL and the store say when another process is gone.
LOST = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe", "socket")

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, and which of them this is.

    Args:
        rank: of this process, from 0 to count − 1.
        count: of all processes.
        local_rank, local_count: the same among those of this machine.
        plain: the group through which plain values and CPU tensors go; None for one process.
        store: the launcher's store, through which the processes know who told an error first.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 1
    plain: Any = None
    store: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, tells and tests."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1

    def of_first(self, make: Callable[[], T]) -> T:
        """What the first process makes; the others wait for it and get a copy."""
        if not self.several:
            return make()
        box: list[Any] = [make() if self.first else None]
        dist.broadcast_object_list(box, src=0, group=self.plain)
        made: T = box[0]
        return made

    def of_each(self, value: T) -> list[T]:
        """The values of all processes, by rank."""
        if not self.several:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value, group=self.plain)
        return values

    def agree(self, asked: bool) -> bool:
        """Whether any process says yes; asked by all of them at the same place."""
        if not self.several:
            return asked
        answer = torch.tensor(float(asked))
        dist.all_reduce(answer, op=dist.ReduceOp.MAX, group=self.plain)
        return answer.item() > 0

    def total(self, number: Tensor) -> Tensor:
        """The sum of a number over the processes, on the device where it is."""
        if not self.several:
            return number
        result = number.detach().clone()
        dist.all_reduce(result)
        return result

    def join_rows(self, rows: Tensor) -> Tensor:
        """(count, ...) of each process, equally many → all, one process behind the other; on the CPU."""
        blocks = [torch.empty_like(rows) for _ in range(self.count)]
        dist.all_gather(blocks, rows.contiguous(), group=self.plain)
        return torch.cat(blocks)

    def wait(self) -> None:
        """Until all processes have come here."""
        if self.several:
            dist.barrier(group=self.plain)

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The first process of each machine goes through the block before the others, which find its files there."""
        if self.local_rank == 0:
            yield
        self.wait()
        if self.local_rank != 0:
            yield

    def is_first_to_tell(self) -> bool:
        """Whether no other process has told an error yet."""
        if self.store is None:
            return True
        try:
            return bool(self.store.add("flambeau/told", 1) == 1)
        except (RuntimeError, dist.DistError):  # the store went down with the process that kept it
            return True

    def leave(self, seconds: float = 2.0) -> None:
        """Before a process ends with an error: the first, which may keep the store, gives the others time to ask it."""
        if self.store is None:
            return
        with suppress(RuntimeError, dist.DistError):
            left = self.store.add("flambeau/left", 1)
            end = time.monotonic() + seconds
            while self.first and left < self.count and time.monotonic() < end:
                time.sleep(0.05)
                left = self.store.add("flambeau/left", 0)


ALONE = Ranks()


def join_ranks() -> Ranks:
    """Meet the other processes that the launcher started; gloo between CPUs, NCCL between GPUs.

    Raises RuntimeError where they do not come within ten minutes.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    local_count = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    backend = "gloo"
    if torch.cuda.is_available() and dist.is_nccl_available() and local_count <= torch.cuda.device_count():
        torch.cuda.set_device(local_rank)
        backend = "cpu:gloo,cuda:nccl"
    store, rank, count = next(dist.rendezvous("env://", timeout=LONGEST_COLLECTIVE))
    dist.init_process_group(
        backend,
        store=dist.PrefixStore("flambeau", store),
        rank=rank,
        world_size=count,
        timeout=LONGEST_COLLECTIVE,
    )
    plain = dist.new_group(backend="gloo", timeout=LONGEST_WAIT)
    return Ranks(rank, count, local_rank, local_count, plain, store)


def is_lost_process(error: BaseException) -> bool:
    """Whether an error means that another process is gone, or did not answer in time."""
    if isinstance(error, dist.DistError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in LOST)


def add_gradients(group: Any, bucket: dist.GradBucket) -> torch.futures.Future[Tensor]:
    """A communication hook of DistributedDataParallel: the sum over the processes, where it would take the mean."""
    work = dist.all_reduce(bucket.buffer(), group=group, async_op=True)
    return work.get_future().then(lambda future: future.value()[0])


class Replicated(DistributedDataParallel):
    """DistributedDataParallel that adds gradients up, and whose names and copies are those of the module inside."""

    def __init__(self, module: nn.Module, *, find_unused_parameters: bool) -> None:
        super().__init__(module, find_unused_parameters=find_unused_parameters, gradient_as_bucket_view=True)
        self.register_comm_hook(None, add_gradients)

    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        """That of the module inside, so that a checkpoint fits any number of processes."""
        return self.module.state_dict(*arguments, **options)

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Module:
        """A copy of the module inside: a moving average takes part in no communication."""
        return copy.deepcopy(self.module, memo)


def replicate(model: nn.Module, *, find_unused_parameters: bool) -> Replicated:
    """The model in each process whole; it begins with the first process's weights everywhere.

    Args:
        find_unused_parameters: whether a step may leave trainable parameters without a gradient.
    """
    return Replicated(model, find_unused_parameters=find_unused_parameters)


def inner(model: nn.Module) -> nn.Module:
    """The module itself, without the wrapper that several processes need."""
    return model.module if isinstance(model, DistributedDataParallel) else model


def add_up_last(model: nn.Module, last: bool) -> AbstractContextManager[Any]:
    """The context around a part of a step: gradients stay in the process until the last part."""
    return nullcontext() if last or not isinstance(model, DistributedDataParallel) else model.no_sync()


def spread_tensors(model: nn.Module) -> None:
    """Give every process the first one's parameters and buffers."""
    for tensor in (*model.parameters(), *model.buffers()):
        dist.broadcast(tensor.detach(), src=0)


def spread_buffers(model: nn.Module) -> None:
    """Give every process the first one's buffers, such as the statistics of batch normalisation."""
    for buffer in model.buffers():
        dist.broadcast(buffer, src=0)


def draws_at_random(model: nn.Module) -> bool:
    """Whether the model drops units or layers in training: each process then draws for its own samples."""
    for module in model.modules():
        name = type(module).__name__.lower()
        # layers that hold nothing but their own probability, and layers that drop beside other things they do
        drops = ("p", "drop_prob", "dropout") if "drop" in name or "stochastic" in name else ("dropout",)
        shares = (getattr(module, share, 0.0) for share in drops)
        if any(isinstance(share, int | float) and share > 0 for share in shares):
            return True
    return False


def has_batch_statistics(model: nn.Module) -> bool:
    """Whether the model normalises by statistics of the batch, which is then each process's own part of it."""
    kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
    return any(isinstance(module, kinds) for module in model.modules())
