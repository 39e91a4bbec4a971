//! Bars on both sides of zero, as SVG: names on the left, one bar a series.

use std::fmt::Write as _;

/// A series of bars.
pub struct Series<'a> {
    /// What the key says of it.
    pub name: &'a str,
    /// One value a row, in −1..1, with the ends of its spread.
    pub bars: Vec<(f64, [f64; 2])>,
}

const LEFT: f64 = 150.0;
const WIDTH: f64 = 420.0;
const TOP: f64 = 56.0;
const BAR: f64 = 9.0;
const GAP: f64 = 7.0;
const COLOURS: [&str; 2] = ["#8a9bb4", "#2f6f4f"];

/// Draws the rows.
pub fn bars(title: &str, rows: &[&str], series: &[Series<'_>]) -> String {
    let row_height = BAR * series.len() as f64 + GAP;
    let height = TOP + row_height * rows.len() as f64 + 34.0;
    let at = |value: f64| LEFT + (value.clamp(-1.0, 1.0) + 1.0) / 2.0 * WIDTH;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{height}\" \
         viewBox=\"0 0 {0} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"12\" y=\"20\" font-size=\"14\">{1}</text>\n",
        LEFT + WIDTH + 24.0,
        escaped(title)
    );
    let mut key = 12.0;
    for (series, colour) in series.iter().zip(COLOURS) {
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<rect x=\"{key}\" y=\"30\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"39\">{}</text>",
            key + 14.0,
            escaped(series.name)
        );
        key += 30.0 + 7.0 * series.name.chars().count() as f64;
    }
    let bottom = height - 30.0;
    for tick in [-1.0, -0.5, 0.0, 0.5, 1.0] {
        let (x, stroke) = (at(tick), if tick == 0.0 { "#444" } else { "#ddd" });
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" x2=\"{x}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"{stroke}\"/>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{tick}</text>",
            bottom + 16.0
        );
    }
    for (row, name) in rows.iter().enumerate() {
        let y = TOP + GAP / 2.0 + row as f64 * row_height;
        let middle = y + (row_height - GAP) / 2.0;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            LEFT - 8.0,
            middle + 4.0,
            escaped(name)
        );
        for (number, (series, colour)) in series.iter().zip(COLOURS).enumerate() {
            let Some(&(value, [low, high])) = series.bars.get(row) else {
                continue;
            };
            let y = y + number as f64 * BAR;
            let (from, to) = (at(value.min(0.0)), at(value.max(0.0)));
            let _ = writeln!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{}\" fill=\"{colour}\"/>\
                 <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\" stroke=\"black\"/>",
                to - from,
                BAR - 2.0,
                at(low.min(high)),
                at(low.max(high)),
                middle = y + BAR / 2.0 - 1.0,
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_start_at_zero_and_text_is_escaped() {
        let series = Series {
            name: "a < b & c",
            bars: vec![(0.5, [0.4, 0.6]), (-1.0, [-1.0, -0.9])],
        };
        let svg = bars("t", &["first", "second"], &[series]);
        let zero = LEFT + WIDTH / 2.0;
        assert!(svg.contains(&format!("<rect x=\"{zero:.1}\"")), "{svg}");
        assert!(svg.contains(&format!("<rect x=\"{LEFT:.1}\"")), "{svg}");
        assert!(svg.contains("a &lt; b &amp; c"));
        assert!(svg.ends_with("</svg>\n"));
    }
}
