"""Compiled kernels: sums of products over tables whose innermost axis is a tile of patients.

Numba alone does not vectorise an accumulation over rows of one buffer (it cannot know that source
and destination do not overlap), so the two inner loops are written as LLVM vector code: a vector of
`LANES` doubles, one a patient. LLVM lowers it to AVX-512, AVX2, SSE or NEON as the machine has. No
operation mixes lanes and none is fused or reassociated, so the result for a patient does not depend
on the batch, the tile or the number of threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["LANES", "count_tiles", "run_tiles"]

#: Patients a tile. The AVX-512 registers of recent machines hold eight doubles.
LANES = 8

_VECTOR = ir.VectorType(ir.DoubleType(), LANES)
_INT = ir.IntType(64)


def _data(context: Any, builder: Any, array_type: Any, value: Any) -> Any:
    return context.make_array(array_type)(context, builder, value).data


def _row(builder: Any, data: Any, row: Any) -> Any:
    start = builder.gep(data, [builder.mul(row, ir.Constant(_INT, LANES))])
    return builder.bitcast(start, _VECTOR.as_pointer())


def _index(builder: Any, data: Any, at: Any) -> Any:
    return builder.sext(builder.load(builder.gep(data, [at])), _INT)


def _accumulate(builder: Any, start: Any, stop: Any, term: Any) -> Any:
    """Sum over e in [start, stop) of term(e), as vectors."""
    zero = ir.Constant(_VECTOR, [0.0] * LANES)
    entry = builder.block
    loop = builder.append_basic_block("terms")
    done = builder.append_basic_block("summed")
    builder.cbranch(builder.icmp_signed("<", start, stop), loop, done)
    builder.position_at_end(loop)
    e = builder.phi(_INT)
    total = builder.phi(_VECTOR)
    e.add_incoming(start, entry)
    total.add_incoming(zero, entry)
    more = builder.fadd(total, term(e))
    following = builder.add(e, ir.Constant(_INT, 1))
    e.add_incoming(following, builder.block)
    total.add_incoming(more, builder.block)
    last = builder.block
    builder.cbranch(builder.icmp_signed("<", following, stop), loop, done)
    builder.position_at_end(done)
    result = builder.phi(_VECTOR)
    result.add_incoming(zero, entry)
    result.add_incoming(more, last)
    return result


@intrinsic
def _sum_scaled(_: Any, out: Any, row: Any, source: Any, index: Any, weight: Any, start: Any, stop: Any) -> Any:
    """out[row] = sum_e weight[e] * source[index[e]]."""
    signature = types.void(out, types.int64, source, index, weight, types.int64, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        out_data = _data(context, builder, kinds[0], args[0])
        source_data = _data(context, builder, kinds[2], args[2])
        index_data = _data(context, builder, kinds[3], args[3])
        weight_data = _data(context, builder, kinds[4], args[4])

        def term(e: Any) -> Any:
            vector = builder.load(_row(builder, source_data, _index(builder, index_data, e)), align=8)
            scalar = builder.load(builder.gep(weight_data, [e]))
            one = builder.insert_element(
                ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
            )
            spread = builder.shuffle_vector(
                one, ir.Constant(_VECTOR, ir.Undefined),
                ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES),
            )
            return builder.fmul(spread, vector)

        total = _accumulate(builder, args[5], args[6], term)
        builder.store(total, _row(builder, out_data, args[1]), align=8)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _sum_products(
    _: Any, out: Any, row: Any, a: Any, a_index: Any, b: Any, b_index: Any, start: Any, stop: Any
) -> Any:
    """out[row] = sum_e a[a_index[e]] * b[b_index[e]]."""
    signature = types.void(out, types.int64, a, a_index, b, b_index, types.int64, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        out_data, a_data, ai_data, b_data, bi_data = (
            _data(context, builder, kinds[i], args[i]) for i in (0, 2, 3, 4, 5)
        )

        def term(e: Any) -> Any:
            left = builder.load(_row(builder, a_data, _index(builder, ai_data, e)), align=8)
            right = builder.load(_row(builder, b_data, _index(builder, bi_data, e)), align=8)
            return builder.fmul(left, right)

        total = _accumulate(builder, args[6], args[7], term)
        builder.store(total, _row(builder, out_data, args[1]), align=8)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _add_row(_: Any, target: Any, row: Any, source: Any) -> Any:
    """target[row] += source[0], lane by lane."""
    signature = types.void(target, types.int64, source)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        at = _row(builder, _data(context, builder, kinds[0], args[0]), args[1])
        more = _row(builder, _data(context, builder, kinds[2], args[2]), ir.Constant(_INT, 0))
        total = builder.fadd(builder.load(at, align=8), builder.load(more, align=8))
        builder.store(total, at, align=8)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _raise_to_row(_: Any, top: Any, source: Any, row: Any) -> Any:
    """Top becomes max(top, source[row]), lane by lane."""
    signature = types.void(top, source, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        at = _row(builder, _data(context, builder, kinds[0], args[0]), ir.Constant(_INT, 0))
        source_data = _data(context, builder, kinds[1], args[1])
        old = builder.load(at, align=8)
        new = builder.load(_row(builder, source_data, args[2]), align=8)
        larger = builder.fcmp_ordered(">", new, old)
        builder.store(builder.select(larger, new, old), at, align=8)
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def _scale_row(_: Any, target: Any, row: Any, factor: Any) -> Any:
    """target[row] *= factor, lane by lane."""
    signature = types.void(target, types.int64, factor)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kinds = signature.args
        at = _row(builder, _data(context, builder, kinds[0], args[0]), args[1])
        by = _row(builder, _data(context, builder, kinds[2], args[2]), ir.Constant(_INT, 0))
        product = builder.fmul(builder.load(at, align=8), builder.load(by, align=8))
        builder.store(product, at, align=8)
        return context.get_dummy_value()

    return signature, codegen


@njit(nogil=True, cache=True, boundscheck=False)
def _rescale(values, first, count, factor, tile_scale):  # noqa: ANN001, ANN202
    """Divide rows [first, first + count) by a power of two, lane by lane."""
    factor[:] = 0.0
    for r in range(first, first + count):
        _raise_to_row(factor, values, np.int64(r))
    for lane in range(LANES):
        exponent = 0
        if factor[lane] > 0.0:
            exponent = math.frexp(factor[lane])[1]
        factor[lane] = math.ldexp(1.0, -exponent)
        tile_scale[lane] += exponent
    for r in range(first, first + count):
        _scale_row(values, np.int64(r), factor)


@njit(nogil=True, cache=True, boundscheck=False)
def run_tiles(  # noqa: ANN201
    codes,  # noqa: ANN001
    likelihood,  # noqa: ANN001
    by_code,  # noqa: ANN001
    first_tile,  # noqa: ANN001
    last_tile,  # noqa: ANN001
    slot_first,  # noqa: ANN001
    slot_size,  # noqa: ANN001
    slot_column,  # noqa: ANN001
    tables,  # noqa: ANN001
    table_first,  # noqa: ANN001
    table_size,  # noqa: ANN001
    table_column,  # noqa: ANN001
    forward,  # noqa: ANN001
    backward,  # noqa: ANN001
    starts,  # noqa: ANN001
    a_index,  # noqa: ANN001
    b_index,  # noqa: ANN001
    weight,  # noqa: ANN001
    rows,  # noqa: ANN001
    rescaled,  # noqa: ANN001
    root_row,  # noqa: ANN001
    constant_root,  # noqa: ANN001
    target_slot,  # noqa: ANN001
    target_column,  # noqa: ANN001
    posterior,  # noqa: ANN001
    evidence,  # noqa: ANN001
    exponent_of,  # noqa: ANN001
    values,  # noqa: ANN001
    gradient,  # noqa: ANN001
):
    """Run the plan on the tiles [first_tile, last_tile) of a batch (see `plan.Plan`).

    `values` and `gradient` have at least `rows * LANES` entries each and may hold anything.
    """
    exponents = np.ones((max(rescaled, 1), LANES))
    tile_scale = np.zeros(LANES, np.int64)
    patients = posterior.shape[0]
    slots = len(slot_first)
    for tile in range(first_tile, last_tile):
        base = tile * LANES
        tile_scale[:] = 0
        for s in range(slots):
            first, size = slot_first[s], slot_size[s]
            for lane in range(LANES):
                patient = min(base + lane, patients - 1)
                if by_code:
                    code = codes[patient, s]
                    for k in range(size):
                        values[(first + k) * LANES + lane] = (
                            1.0 if code < 0 or code == k else 0.0
                        )
                else:
                    column = slot_column[s]
                    top = 0.0
                    for k in range(size):
                        top = max(top, likelihood[patient, column + k])
                    exponent = 0
                    if top > 0.0:
                        exponent = math.frexp(top)[1] - 1
                    factor = math.ldexp(1.0, -exponent)
                    tile_scale[lane] += exponent
                    for k in range(size):
                        values[(first + k) * LANES + lane] = (
                            likelihood[patient, column + k] * factor
                        )
        for s in range(len(table_first)):
            first, column = table_first[s], table_column[s]
            for lane in range(LANES):
                patient = min(base + lane, patients - 1)
                for k in range(table_size[s]):
                    values[(first + k) * LANES + lane] = tables[patient, column + k]
        for step in range(len(forward)):
            kind, out, count, at, scale_slot = forward[step]
            if kind == 0:
                for o in range(count):
                    _sum_scaled(
                        values, out + o, values, a_index, weight,
                        np.int64(starts[at + o]), np.int64(starts[at + o + 1]),
                    )
            else:
                for o in range(count):
                    _sum_products(
                        values, out + o, values, a_index, values, b_index,
                        np.int64(starts[at + o]), np.int64(starts[at + o + 1]),
                    )
            if scale_slot >= 0:
                _rescale(values, out, count, exponents[scale_slot], tile_scale)
        for lane in range(LANES):
            patient = base + lane
            if patient < patients:
                evidence[patient] = (
                    values[root_row * LANES + lane] if root_row >= 0 else constant_root
                )
                exponent_of[patient] = tile_scale[lane]
        if root_row >= 0:
            for lane in range(LANES):
                gradient[root_row * LANES + lane] = 1.0
        for step in range(len(backward)):
            kind, out, count, at, scale_slot = backward[step]
            if kind == 2:
                # The derivative enters a rescaled message: undo the division.
                for r in range(out, out + count):
                    _scale_row(gradient, np.int64(r), exponents[scale_slot])
            elif kind == 0:
                for o in range(count):
                    _sum_scaled(
                        gradient, out + o, gradient, a_index, weight,
                        np.int64(starts[at + o]), np.int64(starts[at + o + 1]),
                    )
            else:
                for o in range(count):
                    _sum_products(
                        gradient, out + o, gradient, a_index, values, b_index,
                        np.int64(starts[at + o]), np.int64(starts[at + o + 1]),
                    )
        for t in range(len(target_slot)):
            s = target_slot[t]
            first, size, column = slot_first[s], slot_size[s], target_column[t]
            for lane in range(LANES):
                patient = base + lane
                if patient < patients:
                    total = 0.0
                    for k in range(size):
                        at_row = (first + k) * LANES + lane
                        total += values[at_row] * gradient[at_row]
                    for k in range(size):
                        at_row = (first + k) * LANES + lane
                        posterior[patient, column + k] = (
                            values[at_row] * gradient[at_row] / total if total > 0.0 else np.nan
                        )


@njit(nogil=True, cache=True, boundscheck=False)
def count_tiles(  # noqa: ANN201
    codes,  # noqa: ANN001
    people,  # noqa: ANN001
    levels,  # noqa: ANN001
    level_first,  # noqa: ANN001
    first_tile,  # noqa: ANN001
    last_tile,  # noqa: ANN001
    slot_first,  # noqa: ANN001
    slot_size,  # noqa: ANN001
    forward,  # noqa: ANN001
    backward,  # noqa: ANN001
    starts,  # noqa: ANN001
    a_index,  # noqa: ANN001
    b_index,  # noqa: ANN001
    weight,  # noqa: ANN001
    rows,  # noqa: ANN001
    rescaled,  # noqa: ANN001
    root_row,  # noqa: ANN001
    evidence,  # noqa: ANN001
    exponent_of,  # noqa: ANN001
    summed,  # noqa: ANN001
    values,  # noqa: ANN001
    gradient,  # noqa: ANN001
):
    """Sum over the tiles [first_tile, last_tile) of people * d log P(evidence) / d table entry.

    `summed` receives one number an entry (see `counts.CountPlan`). The derivative of the logarithm
    starts at the root as people / P(evidence), so that the rest of the pass is linear in it. `values`
    and `gradient` as for `run_tiles`.
    """
    totals = np.zeros(len(summed) * LANES)
    scratch = np.zeros(LANES)
    exponents = np.ones((max(rescaled, 1), LANES))
    tile_scale = np.zeros(LANES, np.int64)
    patients = codes.shape[0]
    for tile in range(first_tile, last_tile):
        base = tile * LANES
        tile_scale[:] = 0
        for s in range(len(slot_first)):
            first, size = slot_first[s], slot_size[s]
            for lane in range(LANES):
                patient = min(base + lane, patients - 1)
                at = level_first[s] + codes[patient, s] * size
                for k in range(size):
                    values[(first + k) * LANES + lane] = levels[at + k]
        for step in range(len(forward)):
            kind, out, count, at, scale_slot = forward[step]
            if kind == 0:
                for o in range(count):
                    _sum_scaled(
                        values, out + o, values, a_index, weight,
                        np.int64(starts[at + o]), np.int64(starts[at + o + 1]),
                    )
            else:
                for o in range(count):
                    _sum_products(
                        values, out + o, values, a_index, values, b_index,
                        np.int64(starts[at + o]), np.int64(starts[at + o + 1]),
                    )
            if scale_slot >= 0:
                _rescale(values, out, count, exponents[scale_slot], tile_scale)
        for lane in range(LANES):
            patient = base + lane
            gradient[root_row * LANES + lane] = 0.0
            if patient < patients:
                found = values[root_row * LANES + lane]
                evidence[patient] = found
                exponent_of[patient] = tile_scale[lane]
                if found > 0.0:
                    gradient[root_row * LANES + lane] = people[patient] / found
        for step in range(len(backward)):
            kind, out, count, at, scale_slot = backward[step]
            if kind == 2:
                for r in range(out, out + count):
                    _scale_row(gradient, np.int64(r), exponents[scale_slot])
            elif kind == 0:
                for o in range(count):
                    _sum_scaled(
                        gradient, out + o, gradient, a_index, weight,
                        np.int64(starts[at + o]), np.int64(starts[at + o + 1]),
                    )
            elif kind == 1:
                for o in range(count):
                    _sum_products(
                        gradient, out + o, gradient, a_index, values, b_index,
                        np.int64(starts[at + o]), np.int64(starts[at + o + 1]),
                    )
            elif kind == 3:
                for o in range(count):
                    _sum_products(
                        scratch, np.int64(0), gradient, a_index, values, b_index,
                        np.int64(starts[at + o]), np.int64(starts[at + o + 1]),
                    )
                    _add_row(totals, np.int64(out + o), scratch)
            else:
                for o in range(count):
                    _sum_scaled(
                        scratch, np.int64(0), gradient, a_index, weight,
                        np.int64(starts[at + o]), np.int64(starts[at + o + 1]),
                    )
                    _add_row(totals, np.int64(out + o), scratch)
    for r in range(len(summed)):
        total = 0.0
        for lane in range(LANES):
            total += totals[r * LANES + lane]
        summed[r] = total
