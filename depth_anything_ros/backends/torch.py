"""Our own network, run by torch on a CPU or an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from depth_anything_ros.backends import BackendInfo, BackendSettings, Output
from depth_anything_ros.core.errors import BackendError, SettingError
from depth_anything_ros.core.preprocess import check_bgr, network_input, network_size, upsample
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.model.network import DepthAnythingV2, random_network
from depth_anything_ros.model.network.cpu import tune_for_cpu
from depth_anything_ros.model.network.loading import load_network
from depth_anything_ros.model.variants import Checkpoint, Variant
from depth_anything_ros.model.weights import WeightsFile

__all__ = ['DEFAULT_THREADS', 'TorchBackend', 'choose_device', 'inverse_of_metres', 'load']

KEPT_INPUTS = 8
"""Input buffers kept, one per shape: a robot has a few cameras."""

DEFAULT_THREADS = torch.get_num_threads()
"""What torch takes by itself; its setting belongs to the thread that makes it."""

PRECISIONS = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}


class TorchBackend:
    """The network in torch; see DepthBackend for what it does."""

    def __init__(self, settings: BackendSettings) -> None:
        device = choose_device(settings.device)
        precision = choose_precision(settings.precision, device)
        # A bad input size must not wait for the first frame.
        network_size(1, 1, settings.input_size)
        torch.set_num_threads(settings.threads or DEFAULT_THREADS)
        network = load(settings.variant, settings.weights)
        self._network: DepthAnythingV2 | None = prepare(network, device, PRECISIONS[precision])
        self._device = device
        self._dtype = PRECISIONS[precision]
        self._inputs: dict[tuple[int, ...], Tensor] = {}
        self.info = BackendInfo(
            name='torch',
            variant=settings.variant.name,
            device=str(device),
            precision=precision,
            input_size=settings.input_size,
            output=output_of(settings.weights.checkpoint),
            weights=settings.weights,
        )
        self.input_size = settings.input_size

    @property
    def output(self) -> Output:
        """What the numbers mean."""
        return self.info.output

    def infer(self, bgr: BgrImage, times: StageTimes | None = None) -> FloatImage:
        """Give float32 (H, W) for a uint8 (H, W, 3) image, larger = nearer."""
        return self.infer_batch([bgr], times)[0]

    def infer_batch(
        self, images: Sequence[BgrImage], times: StageTimes | None = None
    ) -> list[FloatImage]:
        """Do `infer` for each image; those of equal size run together."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images):
            check_bgr(image)
            groups.setdefault(image.shape, []).append(index)
        found: dict[int, FloatImage] = {}
        for indices in groups.values():
            group = self._infer_equal([images[index] for index in indices], times or StageTimes())
            found.update(zip(indices, group, strict=True))
        return [found[index] for index in range(len(images))]

    def close(self) -> None:
        """Free the memory; the backend cannot run again."""
        self._network = None
        self._inputs.clear()
        if self._device.type == 'cuda':
            torch.cuda.empty_cache()

    def _infer_equal(self, images: list[BgrImage], times: StageTimes) -> list[FloatImage]:
        if self._network is None:
            raise BackendError('the torch backend was closed: create another one')
        size = images[0].shape[:2]
        with times.stage('preprocess'):
            host = self._fill_input(images)
        with torch.inference_mode(), times.stage('infer'):
            # In two steps: in one, torch would convert on the host, into unpinned memory.
            x = host.to(self._device, non_blocking=True).to(self._dtype)
            answer = self._network(x).float()
            if self._device.type == 'cuda':
                # Resized where it is, so that one copy, and with it the frame's only
                # synchronisation, ends the stage.
                answer = functional.interpolate(
                    answer[:, None], size, mode='bilinear', align_corners=True
                )[:, 0]
            values: FloatImage = answer.cpu().numpy()
        with times.stage('postprocess'):
            maps = [upsample(value, (size[0], size[1])) for value in values]
            if self.output is Output.METRES:
                maps = [inverse_of_metres(metres) for metres in maps]
        return maps

    def _fill_input(self, images: list[BgrImage]) -> Tensor:
        """Give the batch's input (N, 3, h, w) in host memory that is kept for its shape."""
        height, width = network_size(images[0].shape[0], images[0].shape[1], self.input_size)
        shape = (len(images), 3, height, width)
        host = self._inputs.get(shape)
        if host is None:
            if len(self._inputs) == KEPT_INPUTS:
                self._inputs.clear()
            # Pinned memory lets the upload run beside the launch of the first kernels.
            host = torch.empty(shape, pin_memory=self._device.type == 'cuda')
            self._inputs[shape] = host
        for image, target in zip(images, host.numpy(), strict=True):
            network_input(image, (height, width), out=target)
        return host


def choose_device(name: str) -> torch.device:
    """Turn 'auto', 'cpu', 'cuda' or 'cuda:N' into a device that is there, or raise."""
    if name == 'cpu' or (name == 'auto' and not torch.cuda.is_available()):
        return torch.device('cpu')
    if name == 'auto':
        return torch.device('cuda', 0)
    kind, _, index = name.partition(':')
    if kind != 'cuda' or (name != 'cuda' and not index.isdecimal()):
        raise SettingError(f"device '{name}' is not known: give auto, cpu, cuda or cuda:N")
    if torch.version.cuda is None:
        raise BackendError(
            f"device '{name}' needs a CUDA build of torch, and {torch.__version__} is none:"
            ' install one as https://pytorch.org/get-started says, or set device to cpu'
        )
    if not torch.cuda.is_available():
        raise BackendError(
            f"device '{name}' is not there: torch sees no NVIDIA GPU; check that nvidia-smi lists"
            ' one and that the driver is new enough for CUDA '
            f'{torch.version.cuda}, or set device to cpu'
        )
    count = torch.cuda.device_count()
    if int(index or 0) >= count:
        raise BackendError(f"device '{name}' is not there: give cuda:0 to cuda:{count - 1}")
    return torch.device('cuda', int(index or 0))


def choose_precision(name: str, device: torch.device) -> str:
    """Decide 'auto', and refuse what `device` cannot do."""
    if name == 'auto':
        return 'fp16' if device.type == 'cuda' else 'fp32'
    if name not in PRECISIONS:
        known = ', '.join(('auto', *PRECISIONS))
        raise SettingError(f"precision '{name}' is not known to torch: choose one of {known}")
    if name == 'fp16' and device.type == 'cpu':
        raise SettingError('precision fp16 is slow and inexact on a CPU: choose fp32 or bf16')
    return name


def output_of(checkpoint: Checkpoint) -> Output:
    """Say what a network of that checkpoint gives."""
    return Output.INVERSE_DEPTH if checkpoint.max_depth_m is None else Output.METRES


def load(variant: Variant, weights: WeightsFile) -> DepthAnythingV2:
    """Load a network in float32 on the CPU."""
    if weights.path is None:
        return random_network(variant, weights.checkpoint.max_depth_m)
    return load_network(variant, weights.checkpoint, weights.path)


def prepare(network: DepthAnythingV2, device: torch.device, dtype: torch.dtype) -> DepthAnythingV2:
    """Move a network to where it runs and make it fast there."""
    network = network.eval().requires_grad_(False)
    if device.type == 'cpu':
        tune_for_cpu(network, dtype)
        return network
    return network.to(device, dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def inverse_of_metres(metres: FloatImage) -> FloatImage:
    """Give 1/z per pixel, 0 where `metres` is no depth."""
    known = np.isfinite(metres) & (metres > 0)
    return np.divide(1.0, metres, out=np.zeros_like(metres), where=known)
