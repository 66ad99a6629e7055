//! Time over pods as an SVG, both on logarithmic scales.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use plotters::prelude::*;

use super::report::Report;

/// The groups that are drawn, side by side.
const GROUPS: [&str; 3] = ["trace", "list", "attach"];

const COLOURS: [RGBColor; 6] = [
    RGBColor(120, 120, 120),
    RGBColor(0, 110, 200),
    RGBColor(90, 170, 240),
    RGBColor(200, 80, 40),
    RGBColor(150, 60, 160),
    RGBColor(60, 150, 70),
];

/// Draws the report into a file.
pub fn draw(report: &Report, path: &Path) -> io::Result<()> {
    let area = SVGBackend::new(path, (1080, 380)).into_drawing_area();
    plot(report, &area).map_err(|e| io::Error::other(e.to_string()))
}

type Points = Vec<(f64, f64)>;

/// Each command's times in milliseconds, by pods.
fn curves<'a>(report: &'a Report, group: &str) -> BTreeMap<(usize, &'a str), Points> {
    let mut curves: BTreeMap<_, Points> = BTreeMap::new();
    for node in &report.nodes {
        let Some(pods) = node.pods else { continue };
        for found in node.groups.iter().filter(|g| g.name == group) {
            for (at, figure) in found.figures.iter().enumerate() {
                if let Some(wall) = figure.wall_us {
                    curves.entry((at, figure.name.as_str())).or_default().push((pods as f64, wall as f64 / 1000.0));
                }
            }
        }
    }
    curves
}

fn plot(
    report: &Report,
    area: &DrawingArea<SVGBackend, plotters::coord::Shift>,
) -> Result<(), Box<dyn std::error::Error>> {
    area.fill(&WHITE)?;
    for (area, group) in area.split_evenly((1, GROUPS.len())).iter().zip(GROUPS) {
        let curves = curves(report, group);
        let all = || curves.values().flatten();
        let most = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(f64::MIN_POSITIVE, f64::max);
        let least = |of: fn(&(f64, f64)) -> f64| all().map(of).fold(f64::MAX, f64::min);
        if curves.is_empty() {
            continue;
        }
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{group}: ms over pods"), ("sans-serif", 16))
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(48)
            .build_cartesian_2d(
                (least(|p| p.0)..most(|p| p.0) * 1.1).log_scale(),
                (least(|p| p.1) * 0.7..most(|p| p.1) * 4.0).log_scale(),
            )?;
        chart.configure_mesh().disable_mesh().x_labels(5).y_labels(6).draw()?;
        for ((at, name), points) in curves {
            let colour = COLOURS[at % COLOURS.len()];
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)).point_size(3))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour.stroke_width(2)));
        }
        let labels = chart.configure_series_labels();
        { labels }.position(SeriesLabelPosition::UpperLeft).label_font(("sans-serif", 12)).draw()?;
    }
    area.present()?;
    Ok(())
}
