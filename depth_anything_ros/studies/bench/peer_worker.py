"""A network of another library in a process of its own."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from depth_anything_ros.backends.frames import HostFrames
from depth_anything_ros.backends.torch.devices import choose_device
from depth_anything_ros.core.errors import BackendError
from depth_anything_ros.core.processor import default_threads
from depth_anything_ros.core.timing import StageTimes
from depth_anything_ros.core.types import BgrImage, FloatImage
from depth_anything_ros.studies.bench.configuration import Configuration
from depth_anything_ros.studies.bench.network_worker import NetworkWorker
from depth_anything_ros.studies.bench.peers import PEERS
from depth_anything_ros.studies.bench.row import Loaded

__all__ = ['PeerWorker']


class PeerWorker(NetworkWorker):
    """A peer with random weights in float32, in torch as its library runs it."""

    def load(self, configuration: Configuration, image: BgrImage) -> Loaded:
        """Build the peer and run it once on `image`; BackendError where memory is short."""
        peer = PEERS[configuration.variant]
        free_mb = _available_mb()
        if free_mb < peer.memory_mb:
            raise BackendError(
                f'it takes about {peer.memory_mb:.0f} MB of memory, and {free_mb:.0f} MB are'
                ' available: end what else uses memory'
            )
        device = choose_device(configuration.device)
        torch.manual_seed(0)
        start_s = time.perf_counter()
        network = peer.build().eval().requires_grad_(False).to(device)
        load_s = time.perf_counter() - start_s
        # After the library, which may set it.
        torch.set_num_threads(configuration.threads or default_threads())

        @torch.inference_mode()
        def run(batch: FloatImage) -> FloatImage:
            values: FloatImage = network(torch.from_numpy(batch).to(device))[0].cpu().numpy()
            # Boxes are not brought to the size of the image.
            return values if peer.gives_depth else values[:0]

        self._frames = HostFrames(run, peer.form)
        height, width = image.shape[:2]
        self._size = peer.form.size_for(height, width, configuration.input_size)
        self._images = [image] * configuration.batch
        first = self.turn(1)[0]
        parameters = sum(each.numel() for each in network.parameters()) / 1e6
        how = peer.library, str(device), 'fp32', configuration.input_size
        return Loaded(*how, load_s, first.ms, parameters)

    def _run(self, times: StageTimes) -> None:
        self._frames.run(self._images, self._size, times)


def _available_mb() -> float:
    """Return the memory that programs can still take, as the kernel estimates it."""
    lines = Path('/proc/meminfo').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('MemAvailable')) / 1024
