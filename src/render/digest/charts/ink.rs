//! Colours of charts. A chart is drawn in the light theme. Each colour has a class, with which the page's style sheet replaces
//! it in the dark theme. If a mail client drops the style sheet, the light theme remains.
//!
//! The hues follow the palette of Okabe and Ito, which people with common colour vision deficiencies can distinguish. They are
//! adjusted until shapes have a contrast of 3 and text of 4.5 against the page.

use std::fmt::Write;

use plotters::style::RGBColor;

use crate::domain::incident::classification::IncidentType;

/// The colour of a shape or text, by its purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// Text that carries a number or a name.
    Text,
    /// Text that explains.
    Faint,
    /// Grid lines, and marks for zero.
    Grid,
    /// The background of the digest's own week.
    Band,
    /// The previous week, for comparison.
    Before,
    /// The main series of a chart.
    Main,
    /// The second series of a chart.
    Second,
    Type(IncidentType),
    /// 0 to [`Ink::LEVELS`] − 1, from weak to strong.
    Level(usize),
}

/// The background of the page, in the light and in the dark theme.
pub const PAPER: [u32; 2] = [0xff_ff_ff, 0x14_17_1c];

impl Ink {
    pub const LEVELS: usize = 4;

    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Text, Self::Faint, Self::Grid, Self::Band, Self::Before, Self::Main, Self::Second]
            .into_iter()
            .chain(IncidentType::ALL.iter().copied().map(Self::Type))
            .chain((0..Self::LEVELS).map(Self::Level))
    }

    /// The colour in the light and in the dark theme. No two inks share the light one.
    pub fn shades(self) -> [u32; 2] {
        match self {
            Self::Text => [0x1b_1f_24, 0xe6_e8_eb],
            Self::Faint => [0x59_63_6e, 0xa3_ad_b8],
            Self::Grid => [0xdd_e2_e7, 0x33_3a_43],
            Self::Band => [0xee_f4_fa, 0x1c_26_33],
            Self::Before => [0x84_8f_9b, 0x7b_86_92],
            Self::Main => [0x0a_66_ab, 0x5a_b0_ea],
            Self::Second => [0xc4_4f_00, 0xf0_8c_46],
            Self::Type(IncidentType::JobFailure) => [0x00_72_b2, 0x56_b4_e9],
            Self::Type(IncidentType::ValidationGap) => [0x00_8f_68, 0x2f_c0_97],
            Self::Type(IncidentType::SecurityFinding) => [0xd5_5e_00, 0xf2_8e_49],
            Self::Type(IncidentType::Deprecation) => [0xb2_5c_8c, 0xe3_a0_c6],
            Self::Type(IncidentType::Compliance) => [0x3d_42_4a, 0xd8_dc_e1],
            Self::Level(0) => [0x4c_97_cf, 0x3d_79_aa],
            Self::Level(1) => [0x2b_7d_ba, 0x55_99_cf],
            Self::Level(2) => [0x13_63_9d, 0x86_c0_ee],
            Self::Level(_) => [0x08_42_6e, 0xcb_e6_fd],
        }
    }

    /// The name of its class, which follows `f-` for fills and `s-` for strokes.
    pub fn class(self) -> String {
        match self {
            Self::Text => "text".into(),
            Self::Faint => "faint".into(),
            Self::Grid => "grid".into(),
            Self::Band => "band".into(),
            Self::Before => "before".into(),
            Self::Main => "main".into(),
            Self::Second => "second".into(),
            Self::Type(incident_type) => incident_type.as_str().into(),
            Self::Level(level) => format!("level{level}"),
        }
    }

    pub(super) fn color(self) -> RGBColor {
        let [_, red, green, blue] = self.shades()[0].to_be_bytes();
        RGBColor(red, green, blue)
    }
}

/// CSS rules that give every ink its colour of the dark theme.
pub fn dark_rules() -> String {
    Ink::all().fold(String::new(), |mut rules, ink| {
        let (class, [_, dark]) = (ink.class(), ink.shades());
        let _ = write!(rules, ".f-{class}{{fill:#{dark:06x}}}.s-{class}{{stroke:#{dark:06x}}}");
        rules
    })
}

/// Adds the class to every coloured shape of an SVG, and removes redundant attributes. Text cannot be mistaken for an
/// attribute, because its quotation marks are escaped.
pub(super) fn add_classes(svg: &str) -> String {
    let mut dressed = svg
        .replace(" opacity=\"1\"", "")
        .replace(" stroke=\"none\"", "")
        .replace(" font-family=\"sans-serif\"", "")
        .replace("\">\n", "\">")
        .replace("\n</text>", "</text>");
    for ink in Ink::all() {
        let (class, [light, _]) = (ink.class(), ink.shades());
        for (attribute, kind) in [("fill", 'f'), ("stroke", 's')] {
            let drawn = format!("{attribute}=\"#{light:06X}\"");
            dressed = dressed.replace(&drawn, &format!("class=\"{kind}-{class}\" {attribute}=\"#{light:06x}\""));
        }
    }
    dressed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Relative luminance after WCAG 2.
    fn luminance(shade: u32) -> f64 {
        let [_, red, green, blue] = shade.to_be_bytes().map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    fn contrast(one: u32, other: u32) -> f64 {
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    #[test]
    fn text_and_shapes_stand_out_from_the_page_in_both_themes() {
        for ink in Ink::all() {
            let least = match ink {
                Ink::Text | Ink::Faint => 4.5,
                Ink::Grid | Ink::Band => continue,
                _ => 3.0,
            };
            for theme in [0, 1] {
                for behind in [PAPER, Ink::Band.shades()] {
                    let found = contrast(ink.shades()[theme], behind[theme]);
                    // levels and `Before` are never drawn on the band
                    let on_band = behind != PAPER && matches!(ink, Ink::Level(_) | Ink::Before);
                    assert!(on_band || found >= least, "{ink:?} in theme {theme} on {behind:06x?}: {found:.2}");
                }
            }
        }
    }

    #[test]
    fn more_is_always_stronger() {
        for theme in [0, 1] {
            let against = |level: usize| contrast(Ink::Level(level).shades()[theme], PAPER[theme]);
            assert!((1..Ink::LEVELS).all(|level| against(level) > 1.2 * against(level - 1)), "theme {theme}");
        }
    }

    #[test]
    fn every_ink_has_a_colour_and_a_class_of_its_own() {
        let shades: BTreeSet<u32> = Ink::all().map(|ink| ink.shades()[0]).collect();
        let classes: BTreeSet<String> = Ink::all().map(Ink::class).collect();
        assert_eq!([shades.len(), classes.len()], [Ink::all().count(); 2]);
    }

    #[test]
    fn a_shape_gets_its_class_and_keeps_its_colour_and_text_stays_as_it_is() {
        assert_eq!(
            add_classes("<rect x=\"1\" opacity=\"1\" fill=\"#0072B2\" stroke=\"none\"/>\n<line stroke=\"#DDE2E7\"/>"),
            "<rect x=\"1\" class=\"f-job-failure\" fill=\"#0072b2\"/>\n<line class=\"s-grid\" stroke=\"#dde2e7\"/>"
        );
        let text = "<text x=\"1\">\nfill=&quot;#0072B2&quot;&gt;\n</text>";
        assert_eq!(add_classes(text), "<text x=\"1\">fill=&quot;#0072B2&quot;&gt;</text>");
    }

    #[test]
    fn the_dark_theme_has_rules_for_what_is_filled_and_for_lines() {
        let rules = dark_rules();
        assert!(rules.contains(".f-job-failure{fill:#56b4e9}"), "{rules}");
        assert!(rules.contains(".s-grid{stroke:#333a43}"), "{rules}");
    }
}
