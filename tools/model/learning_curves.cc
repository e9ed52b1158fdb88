#include "tools/model/learning_curves.h"

#include <algorithm>
#include <vector>

#include "fmt/format.h"

namespace fleetune {
namespace {

constexpr double kWidth = 720, kPanelHeight = 200, kLeft = 80, kRight = 20, kTop = 30, kBottom = 30;
constexpr int kTicks = 4;  // parts of an axis

struct Panel {
  const char* title;
  double TrainStep::*value;
};
constexpr Panel kPanels[] = {{"loss", &TrainStep::loss},
                             {"gradient norm", &TrainStep::gradient_norm},
                             {"learning rate", &TrainStep::learning_rate}};

// From values to places along an axis.
struct Axis {
  double least, most;  // values
  double from, to;     // places
  double At(double value) const { return from + (value - least) / (most - least) * (to - from); }
  double Value(int tick) const { return least + (most - least) * tick / kTicks; }
};

// An axis has a length even if all values are the same.
Axis Around(std::span<const TrainStep> steps, const Panel& panel, double from, double to) {
  const auto less = [&](const TrainStep& a, const TrainStep& b) { return a.*panel.value < b.*panel.value; };
  const auto [least, most] = std::minmax_element(steps.begin(), steps.end(), less);
  double low = (*least).*panel.value, high = (*most).*panel.value;
  if (low == high) {
    const double around = low == 0 ? 1 : std::abs(low) / 2;
    low -= around;
    high += around;
  }
  return {low, high, from, to};
}

std::string Text(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor, text);
}

std::string Ticks(const Axis& x, const Axis& y) {
  std::string out;
  for (int tick = 0; tick <= kTicks; ++tick) {
    const double height = y.At(y.Value(tick));
    out += fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"grid\"/>\n", x.from,
                       height, x.to, height);
    out += Text(x.from - 6, height + 4, "end", fmt::format("{:.4g}", y.Value(tick)));
    out += Text(x.At(x.Value(tick)), y.from + 16, "middle", fmt::format("{:.0f}", x.Value(tick)));
  }
  return out;
}

std::string Curve(std::span<const TrainStep> steps, const Panel& panel, const Axis& x, const Axis& y) {
  std::string points;
  for (const TrainStep& step : steps) {
    points += fmt::format("{}{:.1f},{:.1f}", points.empty() ? "" : " ", x.At(step.step), y.At(step.*panel.value));
  }
  return fmt::format("<polyline class=\"curve\" points=\"{}\"/>\n", points);
}

}  // namespace

std::string LearningCurves(std::span<const TrainStep> steps) {
  const double height = kPanelHeight * static_cast<double>(std::size(kPanels));
  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\">\n"
      "<style>text{{font:11px sans-serif;fill:#333}} .grid{{stroke:#ddd}} .curve{{fill:none;stroke:#1464b4}}</style>\n"
      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
      kWidth, height);
  double top = 0;
  for (const Panel& panel : kPanels) {
    out += Text(kLeft, top + kTop - 10, "start", panel.title);
    if (!steps.empty()) {
      const double first = steps.front().step;
      const Axis x = {first, std::max<double>(steps.back().step, first + 1), kLeft, kWidth - kRight};
      const Axis y = Around(steps, panel, top + kPanelHeight - kBottom, top + kTop);
      out += Ticks(x, y) + Curve(steps, panel, x, y);
    }
    top += kPanelHeight;
  }
  return out + "</svg>\n";
}

}  // namespace fleetune
