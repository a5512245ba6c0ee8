# The node on a sourced ROS 2, built by `make build`; docs/deployment.md has the commands for CPU and CUDA.
# The stage `base` is what .devcontainer starts from.
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base AS base

SHELL ["/bin/bash", "-eo", "pipefail", "-c"]
WORKDIR /ws
COPY package.xml .
# The archives of Ubuntu and ROS keep the newest version only: a pinned one would soon be gone.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-venv \
    && rosdep update --rosdistro "$ROS_DISTRO" \
    && rosdep install --from-paths . --ignore-src -y --dependency-types exec \
    && rm -rf /var/lib/apt/lists/*
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_EXTRA_INDEX_URL=$TORCH_INDEX

FROM base
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip \
    . "/opt/ros/$ROS_DISTRO/setup.bash" && make build
# `ubuntu` of the base image is 1000, as the first user of most hosts is: Fast DDS shares
# memory among the processes of one user. A volume on .cache keeps weights and exports.
RUN install -d -o ubuntu -g ubuntu /home/ubuntu/.cache
USER 1000
ENV PATH=/ws/.venv/bin:$PATH NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENTRYPOINT ["/bin/bash", "-c", "source /ws/build/plain/install/setup.bash && exec \"$@\"", "--"]
CMD ["ros2", "launch", "depth_anything_ros", "depth.launch.py"]
