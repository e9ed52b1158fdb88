#include "lora/adapter/refactoring.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

// Row after row of one length; rows are what all steps below work on.
struct Rows {
  size_t count = 0;
  size_t length = 0;
  std::vector<double> values;

  Rows(size_t rows, size_t columns) : count(rows), length(columns), values(rows * columns) {}
  Rows(size_t rows, std::span<const float> floats)
      : count(rows), length(floats.size() / rows), values(floats.begin(), floats.end()) {}
  std::span<double> operator[](size_t row) { return std::span(values).subspan(row * length, length); }
  std::span<const double> operator[](size_t row) const { return std::span(values).subspan(row * length, length); }
};

double Dot(std::span<const double> x, std::span<const double> y) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += x[i] * y[i];
  return sum;
}

void AddTimes(double factor, std::span<const double> x, std::span<double> y) {
  for (size_t i = 0; i < x.size(); ++i) y[i] += factor * x[i];
}

void Multiply(std::span<double> x, double factor) {
  for (double& value : x) value *= factor;
}

// What a second orthogonalization leaves of a row that depends on those before it: nothing but rounding.
constexpr double kDependent = 1e-12;

// Subtracts from `row` its parts along the first `count` rows of `basis`, twice ("twice is enough": Giraud et al.
// 2005); adds them to `parts`, if there is one.
void Orthogonalize(const Rows& basis, size_t count, std::span<double> row, std::span<double> parts) {
  for (int pass = 0; pass < 2; ++pass) {
    for (size_t i = 0; i < count; ++i) {
      const double part = Dot(basis[i], row);
      AddTimes(-part, basis[i], row);
      if (!parts.empty()) parts[i] += part;
    }
  }
}

// rows = R^T Q: row j of the matrix is the sum of r(j, i) Q_i over i <= j. Q replaces it; rows that depend on those
// before are zero there, and have zero r(j, j).
Rows Decompose(Rows& rows) {
  Rows r(rows.count, rows.count);
  for (size_t j = 0; j < rows.count; ++j) {
    const double before = std::sqrt(Dot(rows[j], rows[j]));
    Orthogonalize(rows, j, rows[j], r[j]);
    const double after = std::sqrt(Dot(rows[j], rows[j]));
    if (after <= kDependent * before) {
      std::ranges::fill(rows[j], 0.0);
      continue;
    }
    r[j][j] = after;
    Multiply(rows[j], 1 / after);
  }
  return r;
}

// Zero rows of `q` become units orthogonal to all others: what is left of the first unit vector of which enough is.
// One of them always has its share, (length - others) / length.
void Complete(Rows& q) {
  Rows others(0, q.length);
  for (size_t j = 0; j < q.count; ++j) {
    if (Dot(q[j], q[j]) == 0) continue;
    others.values.insert(others.values.end(), q[j].begin(), q[j].end());
    ++others.count;
  }
  size_t unit = 0;
  for (size_t j = 0; j < q.count; ++j) {
    if (Dot(q[j], q[j]) > 0) continue;
    for (;; ++unit) {
      CHECK(unit < q.length);
      std::ranges::fill(q[j], 0.0);
      q[j][unit] = 1;
      Orthogonalize(others, others.count, q[j], {});
      const double left = Dot(q[j], q[j]);
      if (left < 0.5 / static_cast<double>(q.length)) continue;
      Multiply(q[j], 1 / std::sqrt(left));
      break;
    }
    others.values.insert(others.values.end(), q[j].begin(), q[j].end());
    ++others.count;
  }
}

// Of a squared length, relative to that of all rows: what rounding leaves of zero.
constexpr double kNothing = 1e-30;

// Turns rows x and y, and u and v beside them, so that x and y become orthogonal (Hestenes 1958). False if they are, or
// if one has no squared length above `nothing`.
bool Turn(std::span<double> x, std::span<double> y, std::span<double> u, std::span<double> v, double nothing) {
  const double xx = Dot(x, x);
  const double yy = Dot(y, y);
  const double xy = Dot(x, y);
  if (xx <= nothing || yy <= nothing || std::abs(xy) <= 1e-15 * std::sqrt(xx * yy)) return false;
  const double zeta = (yy - xx) / (2 * xy);
  const double tangent = (zeta >= 0 ? 1.0 : -1.0) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
  const double cosine = 1 / std::sqrt(1 + tangent * tangent);
  const double sine = cosine * tangent;
  const auto turn = [&](std::span<double> a, std::span<double> b) {
    for (size_t i = 0; i < a.size(); ++i) {
      const double before = a[i];
      a[i] = cosine * before - sine * b[i];
      b[i] = sine * before + cosine * b[i];
    }
  };
  turn(x, y);
  turn(u, v);
  return true;
}

// Jacobi's sweeps converge quadratically: some 10 for any rank here. The limit only ends what rounding keeps alive.
constexpr int kMaxSweeps = 60;

// The turns that make the rows of `core` orthogonal, as the rows of an orthonormal matrix, by falling length.
Rows RowTurns(Rows core) {
  const size_t rank = core.count;
  Rows turns(rank, rank);
  for (size_t i = 0; i < rank; ++i) turns[i][i] = 1;
  const double nothing = kNothing * Dot(core.values, core.values);
  bool turned = true;
  for (int sweep = 0; turned && sweep < kMaxSweeps; ++sweep) {
    turned = false;
    for (size_t i = 0; i + 1 < rank; ++i) {
      for (size_t j = i + 1; j < rank; ++j) turned |= Turn(core[i], core[j], turns[i], turns[j], nothing);
    }
  }
  std::vector<double> lengths;
  for (size_t i = 0; i < rank; ++i) lengths.push_back(Dot(core[i], core[i]));
  std::vector<size_t> order(rank);
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, [&](size_t i, size_t j) { return lengths[i] > lengths[j]; });
  Rows sorted(rank, rank);
  for (size_t i = 0; i < rank; ++i) std::ranges::copy(turns[order[i]], sorted[i].begin());
  return sorted;
}

// left * right, of matrices by rows.
Rows Product(const Rows& left, const Rows& right) {
  Rows product(left.count, right.length);
  for (size_t i = 0; i < left.count; ++i) {
    for (size_t k = 0; k < right.count; ++k) AddTimes(left[i][k], right[k], product[i]);
  }
  return product;
}

Rows Transposed(const Rows& matrix) {
  Rows transposed(matrix.length, matrix.count);
  for (size_t i = 0; i < matrix.count; ++i) {
    for (size_t j = 0; j < matrix.length; ++j) transposed[j][i] = matrix[i][j];
  }
  return transposed;
}

// Rounded once; a zero is +0.
void Write(const Rows& rows, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(rows.values[i]) + 0.0f;
}

// A and B of one module, by rows of ranks. With A = Ra^T Qa and B = Rb^T Qb (by rows) the product B^T A, in the terms of
// papers B A, is Qb^T (Rb Ra^T) Qa. Turning the columns of the core until they are orthogonal gives V; then A becomes
// V^T Qa and B, by rows, V^T Ra B.
void RefactorModule(size_t rank, std::span<float> a, std::span<float> b) {
  Rows qa(rank, a);
  const Rows old_b(rank, b);
  const Rows ra_transposed = Decompose(qa);  // row j: the parts of row j of A along Qa
  Complete(qa);
  Rows qb = old_b;
  const Rows rb_transposed = Decompose(qb);
  // Row i: column i of the core, in terms of Qb.
  const Rows ra = Transposed(ra_transposed);
  const Rows turns = RowTurns(Product(ra, rb_transposed));
  Rows new_a = Product(turns, qa);
  Rows new_b = Product(turns, Product(ra, old_b));
  const double nothing = kNothing * Dot(new_b.values, new_b.values);
  for (size_t j = 0; j < rank; ++j) {
    if (Dot(new_b[j], new_b[j]) <= nothing) std::ranges::fill(new_b[j], 0.0);
    // The sign is free: the largest element of a row of A is positive.
    const auto largest = std::ranges::max_element(new_a[j], {}, [](double value) { return std::abs(value); });
    if (*largest >= 0) continue;
    Multiply(new_a[j], -1);
    Multiply(new_b[j], -1);
  }
  Write(new_a, a);
  Write(new_b, b);
}

}  // namespace

absl::Status CheckRefactorable(const AdapterSpec& spec) {
  for (const Projection target : spec.targets()) {
    const uint32_t in = spec.base().projections[static_cast<size_t>(target)].in;
    if (spec.rank() <= in) continue;
    return absl::InvalidArgumentError("refactoring needs a rank of at most the inputs of each target: " +
                                      std::string(ProjectionName(target)) + " has " + std::to_string(in) +
                                      ", the rank is " + std::to_string(spec.rank()));
  }
  return absl::OkStatus();
}

absl::StatusOr<Adapter> Refactored(const Adapter& adapter) {
  const AdapterSpec& spec = adapter.spec();
  RETURN_IF_ERROR(CheckRefactorable(spec));
  std::vector<float> a(adapter.a().begin(), adapter.a().end());
  std::vector<float> b(adapter.b().begin(), adapter.b().end());
  for (const LoraModule& module : spec.modules()) {
    RefactorModule(spec.rank(), std::span(a).subspan(module.a_offset, uint64_t{spec.rank()} * module.in),
                   std::span(b).subspan(module.b_offset, uint64_t{spec.rank()} * module.out));
  }
  // The rows of W + s B A stay what they are, so their norms do, too.
  return Adapter::Create(spec, std::move(a), std::move(b), {adapter.magnitudes().begin(), adapter.magnitudes().end()});
}

}  // namespace fleetune
