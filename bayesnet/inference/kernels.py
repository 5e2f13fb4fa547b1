"""Compiled kernels: sums of products over tables whose innermost axis is a tile of patients.

Numba alone does not vectorise an accumulation over rows of one buffer (it cannot know that source
and destination do not overlap), so the inner loops are written as LLVM vector code: a vector of
doubles, one a patient. LLVM lowers it to AVX-512, AVX2, SSE or NEON as the machine has. No operation
mixes lanes and none is fused or reassociated, so the result for a patient does not depend on the
batch, the tile or the number of threads.

The patients a tile are the length of a tuple, `lanes`, and so part of a kernel's type: each number
is compiled once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["ONE_LANE", "TILE", "count_tiles", "run_tiles"]

#: A tile of eight: the AVX-512 registers of recent machines hold eight doubles.
TILE = (0,) * 8
ONE_LANE = (0,)

_INT = ir.IntType(64)


def _vector(lanes: int) -> Any:
    return ir.VectorType(ir.DoubleType(), lanes)


def _data(context: Any, builder: Any, array_type: Any, value: Any) -> Any:
    return context.make_array(array_type)(context, builder, value).data


def _row(builder: Any, data: Any, row: Any, lanes: int) -> Any:
    start = builder.gep(data, [builder.mul(row, ir.Constant(_INT, lanes))])
    return builder.bitcast(start, _vector(lanes).as_pointer())


def _index(builder: Any, data: Any, at: Any) -> Any:
    return builder.sext(builder.load(builder.gep(data, [at])), _INT)


def _sum(builder: Any, first: Any, terms: Any, lanes: int, term: Callable[[Any], Any]) -> Any:
    """Sum of term(e) over `terms` terms from `first`, as vectors."""
    zero = ir.Constant(_vector(lanes), [0.0] * lanes)
    stop = builder.add(first, terms)
    entry = builder.block
    loop = builder.append_basic_block("terms")
    done = builder.append_basic_block("summed")
    builder.cbranch(builder.icmp_signed("<", first, stop), loop, done)
    builder.position_at_end(loop)
    e = builder.phi(_INT)
    total = builder.phi(_vector(lanes))
    e.add_incoming(first, entry)
    total.add_incoming(zero, entry)
    more = builder.fadd(total, term(e))
    following = builder.add(e, ir.Constant(_INT, 1))
    e.add_incoming(following, builder.block)
    total.add_incoming(more, builder.block)
    last = builder.block
    builder.cbranch(builder.icmp_signed("<", following, stop), loop, done)
    builder.position_at_end(done)
    result = builder.phi(_vector(lanes))
    result.add_incoming(zero, entry)
    result.add_incoming(more, last)
    return result


@intrinsic
def _sum_weighted(
    _: Any, out: Any, row: Any, a: Any, a_index: Any, constants: Any, b_index: Any, first: Any,
    terms: Any, lanes: Any,
) -> Any:
    """out[row] = sum_e a[a_index[e]] * constants[b_index[e]]."""
    signature = types.void(
        out, types.int64, a, a_index, constants, b_index, types.int64, types.int64, lanes
    )
    width = lanes.count

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out_data, a_data, ai_data, constant_data, bi_data = (
            _data(context, builder, signature.args[i], args[i]) for i in (0, 2, 3, 4, 5)
        )
        undefined = ir.Constant(_vector(width), ir.Undefined)
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)

        def term(e: Any) -> Any:
            vector = builder.load(_row(builder, a_data, _index(builder, ai_data, e), width), align=8)
            scalar = builder.load(builder.gep(constant_data, [_index(builder, bi_data, e)]))
            one = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
            return builder.fmul(builder.shuffle_vector(one, undefined, zeros), vector)

        total = _sum(builder, args[6], args[7], width, term)
        builder.store(total, _row(builder, out_data, args[1], width), align=8)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _sum_products(
    _: Any, out: Any, row: Any, a: Any, a_index: Any, b: Any, b_index: Any, first: Any, terms: Any,
    lanes: Any,
) -> Any:
    """out[row] = sum_e a[a_index[e]] * b[b_index[e]]."""
    signature = types.void(out, types.int64, a, a_index, b, b_index, types.int64, types.int64, lanes)
    width = lanes.count

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        out_data, a_data, ai_data, b_data, bi_data = (
            _data(context, builder, signature.args[i], args[i]) for i in (0, 2, 3, 4, 5)
        )

        def term(e: Any) -> Any:
            left = builder.load(_row(builder, a_data, _index(builder, ai_data, e), width), align=8)
            right = builder.load(_row(builder, b_data, _index(builder, bi_data, e), width), align=8)
            return builder.fmul(left, right)

        total = _sum(builder, args[6], args[7], width, term)
        builder.store(total, _row(builder, out_data, args[1], width), align=8)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _add_row(_: Any, target: Any, row: Any, source: Any, lanes: Any) -> Any:
    """target[row] += source[0], lane by lane."""
    signature = types.void(target, types.int64, source, lanes)
    width = lanes.count

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        at = _row(builder, _data(context, builder, kinds[0], args[0]), args[1], width)
        more = _row(builder, _data(context, builder, kinds[2], args[2]), ir.Constant(_INT, 0), width)
        total = builder.fadd(builder.load(at, align=8), builder.load(more, align=8))
        builder.store(total, at, align=8)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _raise_to_row(_: Any, top: Any, source: Any, row: Any, lanes: Any) -> Any:
    """Top becomes max(top, source[row]), lane by lane."""
    signature = types.void(top, source, types.int64, lanes)
    width = lanes.count

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        at = _row(builder, _data(context, builder, kinds[0], args[0]), ir.Constant(_INT, 0), width)
        source_data = _data(context, builder, kinds[1], args[1])
        old = builder.load(at, align=8)
        new = builder.load(_row(builder, source_data, args[2], width), align=8)
        larger = builder.fcmp_ordered(">", new, old)
        builder.store(builder.select(larger, new, old), at, align=8)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _scale_row(_: Any, target: Any, row: Any, factor: Any, lanes: Any) -> Any:
    """target[row] *= factor, lane by lane."""
    signature = types.void(target, types.int64, factor, lanes)
    width = lanes.count

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        at = _row(builder, _data(context, builder, kinds[0], args[0]), args[1], width)
        by = _row(builder, _data(context, builder, kinds[2], args[2]), ir.Constant(_INT, 0), width)
        product = builder.fmul(builder.load(at, align=8), builder.load(by, align=8))
        builder.store(product, at, align=8)
        return context.get_dummy_value()

    return signature, codegen


@njit(nogil=True, cache=True, boundscheck=False)
def _rescale(values, first, count, factor, tile_scale, lanes):  # noqa: ANN001, ANN202
    """Divide rows [first, first + count) by a power of two, lane by lane."""
    factor[:] = 0.0
    for r in range(first, first + count):
        _raise_to_row(factor, values, r, lanes)
    for lane in range(len(lanes)):
        exponent = 0
        if factor[lane] > 0.0:
            exponent = math.frexp(factor[lane])[1]
        factor[lane] = math.ldexp(1.0, -exponent)
        tile_scale[lane] += exponent
    for r in range(first, first + count):
        _scale_row(values, r, factor, lanes)


@njit(nogil=True, cache=True, boundscheck=False)
def _weighted(target, row, rows, constants, a_index, b_index, e, terms, lanes):  # noqa: ANN001, ANN202
    """A segment of rows with `terms` terms each, constants times rows of `target`.

    The compiler unrolls the sums whose length it knows.
    """
    if terms == 1:
        for r in range(row, row + rows):
            _sum_weighted(target, r, target, a_index, constants, b_index, e, 1, lanes)
            e += 1
    elif terms == 2:
        for r in range(row, row + rows):
            _sum_weighted(target, r, target, a_index, constants, b_index, e, 2, lanes)
            e += 2
    elif terms == 3:
        for r in range(row, row + rows):
            _sum_weighted(target, r, target, a_index, constants, b_index, e, 3, lanes)
            e += 3
    elif terms == 4:
        for r in range(row, row + rows):
            _sum_weighted(target, r, target, a_index, constants, b_index, e, 4, lanes)
            e += 4
    else:
        for r in range(row, row + rows):
            _sum_weighted(target, r, target, a_index, constants, b_index, e, terms, lanes)
            e += terms


@njit(nogil=True, cache=True, boundscheck=False)
def _products(target, row, rows, values, a_index, b_index, e, terms, lanes):  # noqa: ANN001, ANN202
    """The same, rows of `target` times rows of `values`."""
    if terms == 1:
        for r in range(row, row + rows):
            _sum_products(target, r, target, a_index, values, b_index, e, 1, lanes)
            e += 1
    elif terms == 2:
        for r in range(row, row + rows):
            _sum_products(target, r, target, a_index, values, b_index, e, 2, lanes)
            e += 2
    elif terms == 3:
        for r in range(row, row + rows):
            _sum_products(target, r, target, a_index, values, b_index, e, 3, lanes)
            e += 3
    elif terms == 4:
        for r in range(row, row + rows):
            _sum_products(target, r, target, a_index, values, b_index, e, 4, lanes)
            e += 4
    else:
        for r in range(row, row + rows):
            _sum_products(target, r, target, a_index, values, b_index, e, terms, lanes)
            e += terms


@njit(nogil=True, cache=True, boundscheck=False)
def _forward(  # noqa: ANN202
    segments, a_index, b_index, constants, values, exponents, tile_scale, lanes  # noqa: ANN001
):
    """All values of a tile."""
    for s in range(len(segments)):
        kind, row, rows = segments[s, 0], np.int64(segments[s, 1]), np.int64(segments[s, 2])
        first, terms = np.int64(segments[s, 3]), np.int64(segments[s, 4])
        if kind == 0:
            _weighted(values, row, rows, constants, a_index, b_index, first, terms, lanes)
        elif kind == 1:
            _products(values, row, rows, values, a_index, b_index, first, terms, lanes)
        else:
            _rescale(values, row, rows, exponents[terms], tile_scale, lanes)


@njit(nogil=True, cache=True, boundscheck=False)
def _backward(  # noqa: ANN202
    segments, a_index, b_index, constants, values, exponents, gradient, totals, scratch, lanes  # noqa: ANN001
):
    """All derivatives of a tile, from that of the root."""
    for s in range(len(segments)):
        kind, row, rows = segments[s, 0], np.int64(segments[s, 1]), np.int64(segments[s, 2])
        first, terms = np.int64(segments[s, 3]), np.int64(segments[s, 4])
        if kind == 0:
            _weighted(gradient, row, rows, constants, a_index, b_index, first, terms, lanes)
        elif kind == 1:
            _products(gradient, row, rows, values, a_index, b_index, first, terms, lanes)
        elif kind == 2:
            for r in range(row, row + rows):
                _scale_row(gradient, r, exponents[terms], lanes)
        else:
            for r in range(row, row + rows):
                if kind == 3:
                    _sum_weighted(
                        scratch, 0, gradient, a_index, constants, b_index, first, terms, lanes
                    )
                else:
                    _sum_products(
                        scratch, 0, gradient, a_index, values, b_index, first, terms, lanes
                    )
                _add_row(totals, r, scratch, lanes)
                first += terms


@njit(nogil=True, cache=True, boundscheck=False)
def run_tiles(  # noqa: ANN201
    lanes,  # noqa: ANN001
    codes,  # noqa: ANN001
    likelihood,  # noqa: ANN001
    by_code,  # noqa: ANN001
    start,  # noqa: ANN001
    stop,  # noqa: ANN001
    slot_first,  # noqa: ANN001
    slot_size,  # noqa: ANN001
    tables,  # noqa: ANN001
    table_first,  # noqa: ANN001
    table_size,  # noqa: ANN001
    table_column,  # noqa: ANN001
    forward,  # noqa: ANN001
    backward,  # noqa: ANN001
    a_index,  # noqa: ANN001
    b_index,  # noqa: ANN001
    rescaled,  # noqa: ANN001
    root_row,  # noqa: ANN001
    root_derivative,  # noqa: ANN001
    constants,  # noqa: ANN001
    constant_root,  # noqa: ANN001
    target_slot,  # noqa: ANN001
    target_column,  # noqa: ANN001
    posterior,  # noqa: ANN001
    evidence,  # noqa: ANN001
    exponent_of,  # noqa: ANN001
    values,  # noqa: ANN001
    gradient,  # noqa: ANN001
):
    """Run a plan on the patients [start, stop) of a batch, in tiles (see `plan.Plan`).

    `values` and `gradient` have room for the rows of the plan, a tile each, and may hold anything.
    """
    width = len(lanes)
    exponents = np.ones((max(rescaled, 1), width))
    tile_scale = np.zeros(width, np.int64)
    nothing = np.zeros(width)
    for base in range(start, stop, width):
        tile_scale[:] = 0
        for s in range(len(slot_first)):
            first, size = slot_first[s], slot_size[s]
            for lane in range(width):
                patient = min(base + lane, stop - 1)
                if by_code:
                    code = codes[patient, s]
                    for k in range(size):
                        values[(first + k) * width + lane] = (
                            1.0 if code < 0 or code == k else 0.0
                        )
                else:
                    top = 0.0
                    for k in range(size):
                        top = max(top, likelihood[patient, first + k])
                    exponent = 0
                    if top > 0.0:
                        exponent = math.frexp(top)[1] - 1
                    factor = math.ldexp(1.0, -exponent)
                    tile_scale[lane] += exponent
                    for k in range(size):
                        values[(first + k) * width + lane] = likelihood[patient, first + k] * factor
        for s in range(len(table_first)):
            first, column = table_first[s], table_column[s]
            for lane in range(width):
                patient = min(base + lane, stop - 1)
                for k in range(table_size[s]):
                    values[(first + k) * width + lane] = tables[patient, column + k]
        _forward(forward, a_index, b_index, constants, values, exponents, tile_scale, lanes)
        for lane in range(width):
            patient = base + lane
            if patient < stop:
                evidence[patient] = (
                    values[root_row * width + lane] if root_row >= 0 else constant_root
                )
                exponent_of[patient] = tile_scale[lane]
        if root_row >= 0:
            for lane in range(width):
                gradient[root_derivative * width + lane] = 1.0
        _backward(
            backward, a_index, b_index, constants, values, exponents, gradient, nothing, nothing,
            lanes,
        )
        for t in range(len(target_slot)):
            s = target_slot[t]
            first, size, column = slot_first[s], slot_size[s], target_column[t]
            for lane in range(width):
                patient = base + lane
                if patient < stop:
                    total = 0.0
                    for k in range(size):
                        at_row = (first + k) * width + lane
                        total += values[at_row] * gradient[at_row]
                    for k in range(size):
                        at_row = (first + k) * width + lane
                        posterior[patient, column + k] = (
                            values[at_row] * gradient[at_row] / total if total > 0.0 else np.nan
                        )


@njit(nogil=True, cache=True, boundscheck=False)
def count_tiles(  # noqa: ANN201
    lanes,  # noqa: ANN001
    codes,  # noqa: ANN001
    people,  # noqa: ANN001
    weights,  # noqa: ANN001
    levels,  # noqa: ANN001
    level_first,  # noqa: ANN001
    first_tile,  # noqa: ANN001
    last_tile,  # noqa: ANN001
    tile_start,  # noqa: ANN001
    tile_stop,  # noqa: ANN001
    tile_group,  # noqa: ANN001
    group_first,  # noqa: ANN001
    group_strata,  # noqa: ANN001
    side,  # noqa: ANN001
    slot_first,  # noqa: ANN001
    slot_size,  # noqa: ANN001
    forward,  # noqa: ANN001
    backward,  # noqa: ANN001
    a_index,  # noqa: ANN001
    b_index,  # noqa: ANN001
    rescaled,  # noqa: ANN001
    root_row,  # noqa: ANN001
    root_derivative,  # noqa: ANN001
    constants,  # noqa: ANN001
    evidence,  # noqa: ANN001
    exponent_of,  # noqa: ANN001
    summed,  # noqa: ANN001
    values,  # noqa: ANN001
    gradient,  # noqa: ANN001
):
    """Sum over the patients of some tiles of people * d log P(evidence) / d table entry.

    P(evidence) is a mixture: stratum s has constants `constants[s]` and counts `weights[:, side[s]]`.
    `summed[s]` receives one number an entry (see `counts.CountPlan`). Each stratum leaves the tile's
    derivatives of its share of P(evidence), in units of a power of two that all strata of a patient
    have in common; they are divided by P(evidence) once all of it is there. `values` and `gradient` as
    for `run_tiles`.
    """
    width = len(lanes)
    entries = summed.shape[1]
    most = 1
    for t in range(first_tile, last_tile):
        group = tile_group[t]
        most = max(most, group_first[group + 1] - group_first[group])
    derivatives = np.zeros((most, entries * width))
    scratch = np.zeros(width)
    exponents = np.ones((max(rescaled, 1), width))
    tile_scale = np.zeros(width, np.int64)
    unit = np.zeros(width, np.int64)
    begun = np.zeros(width, np.bool_)
    total, change, share = np.zeros(width), np.ones(width), np.zeros(width)
    for t in range(first_tile, last_tile):
        base, stop = tile_start[t], tile_stop[t]
        for s in range(len(slot_first)):
            first, size = slot_first[s], slot_size[s]
            for lane in range(width):
                patient = min(base + lane, stop - 1)
                at = level_first[s] + codes[patient, s] * size
                for k in range(size):
                    values[(first + k) * width + lane] = levels[at + k]
        begun[:] = False
        total[:] = 0.0
        begin, end = group_first[tile_group[t]], group_first[tile_group[t] + 1]
        for k in range(begin, end):
            stratum = group_strata[k]
            tile_scale[:] = 0
            _forward(
                forward, a_index, b_index, constants[stratum], values, exponents, tile_scale, lanes
            )
            changed = False
            for lane in range(width):
                patient = base + lane
                seed = 0.0
                change[lane] = 1.0
                found = values[root_row * width + lane]
                if patient < stop and found > 0.0:
                    scale = tile_scale[lane]
                    if not begun[lane]:
                        begun[lane] = True
                        unit[lane] = scale
                    elif scale > unit[lane]:
                        change[lane] = math.ldexp(1.0, max(unit[lane] - scale, -2000))
                        total[lane] *= change[lane]
                        unit[lane] = scale
                        changed = True
                    seed = weights[patient, side[stratum]] * math.ldexp(
                        1.0, max(scale - unit[lane], -2000)
                    )
                    total[lane] += seed * found
                gradient[root_derivative * width + lane] = seed
            if changed:
                for j in range(k - begin):
                    for r in range(entries):
                        _scale_row(derivatives[j], r, change, lanes)
            derivatives[k - begin, :] = 0.0
            _backward(
                backward, a_index, b_index, constants[stratum], values, exponents, gradient,
                derivatives[k - begin], scratch, lanes,
            )
        for lane in range(width):
            patient = base + lane
            share[lane] = 0.0
            if patient < stop:
                evidence[patient] = max(total[lane], 0.0)
                exponent_of[patient] = unit[lane]
                if total[lane] > 0.0:
                    share[lane] = people[patient] / total[lane]
        for k in range(begin, end):
            for r in range(entries):
                part = 0.0
                for lane in range(width):
                    part += derivatives[k - begin, r * width + lane] * share[lane]
                summed[group_strata[k], r] += part
