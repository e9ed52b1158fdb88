#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "aggregation/secagg/field61.h"

namespace fleetune::secagg {

// Coefficients by ascending power. The last one is not zero; the zero polynomial has none.
using Polynomial = std::vector<Field61>;

Field61 Evaluate(std::span<const Field61> polynomial, Field61 x);

// The product of (x - point) over all points.
Polynomial FromRoots(std::span<const Field61> points);

// The polynomial of a degree below points.size() with f(points[i]) == values[i] (Newton's form). Quadratic in their
// number. Requires distinct points, as many as values; checked.
Polynomial Interpolate(std::span<const Field61> points, std::span<const Field61> values);

// The polynomial of a degree below `dimension` on which the values lie at all points but at most
// floor((points.size() - dimension) / 2); there is at most one. Nothing if there is none.
//
// Gao, "A new algorithm for decoding Reed-Solomon codes" (2003): the extended Euclidean algorithm on the product of all
// (x - point) and the interpolation of all values, stopped halfway; the remainder divided by its multiplier is
// the answer. Quadratic in the number of points. Requires distinct points, as many as values, and
// 1 <= dimension <= their number; checked.
std::optional<Polynomial> DecodeReedSolomon(std::span<const Field61> points, std::span<const Field61> values,
                                            size_t dimension);

}  // namespace fleetune::secagg
