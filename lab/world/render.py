"""Light on hit points: from first hits to an 8-bit picture."""

from __future__ import annotations

import cv2
import numpy as np

from depth_anything_ros.core.types import BgrImage
from lab.world.geometry import Array, Convex, Rays, rotated, yaw_matrix
from lab.world.scene import Hits, Material, Scene, Solid, candidates
from lab.world.textures import albedo

__all__ = ['develop', 'shade']

_CONTACT_M = 0.18
_CORNER_M = 0.30
_CORNER_SHARE = 0.42


def shade(scene: Scene, rays: Rays, hits: Hits, pixel_rad: float) -> Array:
    """Return the linear RGB (n, 3) that the rays see.

    `pixel_rad` is the angle of one pixel, over which patterns are averaged.
    """
    dtype = rays.directions.dtype
    count = hits.solid.size
    colour = np.empty((3, count), dtype)
    order = np.argsort(hits.solid, kind='stable')
    starts = np.searchsorted(hits.solid[order], np.arange(-1, len(scene.solids) + 1))
    sky = order[: starts[1]]
    colour[:, sky] = _sky(scene, rays.directions.take(sky, axis=1))
    solid_order = order[starts[1] :]
    if solid_order.size == 0:
        return np.ascontiguousarray(colour.T)
    directions = rays.directions.take(solid_order, axis=1)
    distance = hits.distance_m[solid_order]
    points = Rays(rays.origin, directions).at(distance)
    normals = np.empty_like(points)
    surface = np.empty_like(points)
    for number, solid in enumerate(scene.solids):
        part = slice(starts[number + 1] - starts[1], starts[number + 2] - starts[1])
        if part.start == part.stop:
            continue
        normals[:, part] = solid.shape.normals(points[:, part])
        facing = np.abs(np.einsum('ij,ij->j', normals[:, part], directions[:, part]))
        # Along the view a pixel's footprint grows by 1 / cos; the mean of both axes is 1 / sqrt.
        foot = distance[part] * pixel_rad / np.sqrt(np.maximum(facing, 0.05))
        surface[:, part] = _surface(solid, points[:, part], normals[:, part], foot)
        if solid.inside:
            normals[:, part] *= -1.0
    light = _light(scene, points, normals)
    seen = surface * light
    if np.isfinite(scene.light.haze_m):
        clear = np.exp(-distance / dtype.type(scene.light.haze_m))
        haze = np.array(scene.light.haze, dtype)[:, None]
        seen = haze + (seen - haze) * clear
    colour[:, solid_order] = seen
    return np.ascontiguousarray(colour.T)


def develop(linear: Array, width: int, height: int, grain: float, seed: int) -> BgrImage:
    """Turn linear RGB (n, 3) into an image (height, width, 3): exposure, tone, grain.

    The exposure brings the mean to a fixed grey, as a camera's automatic one does. `grain` is
    the standard deviation of the noise in mid grey, as a share of full scale.
    """
    picture = linear.reshape(height, width, 3)[:, :, ::-1].astype(np.float32)
    gain = 0.26 / max(float(np.sqrt(np.mean(picture) * np.median(picture))), 1e-4)
    exposed = picture * np.float32(gain)
    # A shoulder instead of a cut: bright walls and the sky keep their shading.
    toned = exposed * (1.0 + exposed * np.float32(0.16)) / (1.0 + exposed)
    toned = np.clip(toned * np.float32(1.18), 0.0, 1.0)
    levels = cv2.pow(toned, 1.0 / 2.2)
    if grain > 0.0:
        random = np.random.Generator(np.random.SFC64(seed))
        noise = random.standard_normal(levels.shape, np.float32)
        levels = levels + noise * (np.float32(grain) * (0.6 + 0.8 * np.sqrt(levels)))
    return np.asarray(np.clip(levels * 255.0 + 0.5, 0.0, 255.0), np.uint8)


def _sky(scene: Scene, directions: Array) -> Array:
    up = np.clip(directions[2] * 2.2, 0.0, 1.0) ** 0.6
    haze = np.array(scene.light.haze, directions.dtype)[:, None]
    zenith = np.array(scene.light.zenith, directions.dtype)[:, None]
    return np.asarray(haze + (zenith - haze) * up)


def _surface(solid: Solid, points: Array, normals: Array, foot: Array) -> Array:
    """Return the albedo (3, n) of the points of one solid, face by face."""
    turn = yaw_matrix(-solid.yaw)
    local = rotated(turn, points - solid.anchor[:, None].astype(points.dtype))
    facing = rotated(turn, normals)
    if not isinstance(solid.shape, Convex):
        around = np.arctan2(local[1], local[0]) * solid.shape.radius
        return albedo(solid.side, around, local[2], foot)
    flat = np.abs(facing[2]) > 0.7
    endwise = ~flat & (np.abs(facing[0]) > np.abs(facing[1]))
    result = np.empty_like(points)
    faces: list[tuple[Array, Material, int, int]] = [
        (flat & (facing[2] > 0.0), solid.top or solid.side, 0, 1),
        (flat & (facing[2] <= 0.0), solid.bottom or solid.side, 0, 1),
        (endwise, solid.end or solid.side, 1, 2),
        (~flat & ~endwise, solid.side, 0, 2),
    ]
    for mask, material, along, across in faces:
        chosen = np.flatnonzero(mask)
        if chosen.size:
            u, v = local[along].take(chosen), local[across].take(chosen)
            result[:, chosen] = albedo(material, u, v, foot.take(chosen))
    return result


def _light(scene: Scene, points: Array, normals: Array) -> Array:
    """Return the light (3, n) that reaches the points: the lamp, with shadow, and the ambience."""
    dtype = points.dtype
    lamp = np.array(scene.light.position)
    away = points - lamp[:, None].astype(dtype)
    length = np.sqrt(np.einsum('ij,ij->j', away, away))
    away /= length
    lambert = np.maximum(-np.einsum('ij,ij->j', away, normals), 0.0)
    lambert *= 1.0 / (1.0 + (length / dtype.type(scene.light.reach_m)) ** 2)
    lambert *= _lit(scene, Rays(lamp, away), length)
    # Light from above is stronger than light bounced off the floor.
    open_sky = (0.72 + 0.28 * normals[2]) * _openness(scene, points, normals)
    colour = np.array(scene.light.colour, dtype)[:, None]
    ambient = np.array(scene.light.ambient, dtype)[:, None]
    return np.asarray(colour * lambert + ambient * open_sky)


def _lit(scene: Scene, rays: Rays, length: Array) -> Array:
    """Return the share of the lamp that arrives, by the matter that each of its rays passes."""
    share = np.ones_like(length)
    stop = length - 0.02
    for number, touched in candidates(scene, rays):
        solid = scene.solids[number]
        if solid.inside:
            continue
        part = rays.directions if touched is None else rays.directions.take(touched, axis=1)
        near, far = solid.shape.interval(rays.origin, part)
        reach = stop if touched is None else stop[touched]
        through = np.minimum(far, reach) - near
        passing = np.clip(1.0 - through / scene.light.penumbra_m, 0.0, 1.0)
        if touched is None:
            share *= passing
        else:
            share[touched] *= passing
    return share


def _openness(scene: Scene, points: Array, normals: Array) -> Array:
    """Return an ambient occlusion: darker in the corners of a room and under what stands there."""
    result = np.ones_like(points[0])
    low = np.flatnonzero((points[2] < _CONTACT_M) & (normals[2] > 0.5))
    below = points.take(low, axis=1)
    contact = np.ones_like(below[0])
    for solid in scene.solids:
        if solid.inside and isinstance(solid.shape, Convex):
            # The point's own face would darken it everywhere alike: divided out.
            result /= 1.0 - _CORNER_SHARE
            depth = -solid.shape.face_distances(points)
            for row in depth:
                result *= 1.0 - _CORNER_SHARE * np.exp(row * (-1.0 / _CORNER_M))
            continue
        reach = solid.shape.radius + 3.0 * _CONTACT_M
        if reach > 20.0 or not low.size:
            continue
        offset = below[:2] - solid.shape.centre[:2, None].astype(below.dtype)
        close = np.flatnonzero(np.einsum('ij,ij->j', offset, offset) < reach * reach)
        if close.size:
            gap = np.maximum(solid.shape.distance(below.take(close, axis=1)), 0.0)
            contact[close] *= 1.0 - 0.6 * np.exp(-gap / _CONTACT_M)
    result[low] *= contact
    return np.asarray(result)
