//! The macro that defines a closed enum with one fixed text per variant. The texts are what JSON, tables and the command line use.
//!
//! Values that a platform defines are open enums instead, see [`super::run`].

macro_rules! closed_enums {
    ($($(#[$meta:meta])* pub enum $Enum:ident { $($(#[$vmeta:meta])* $Variant:ident = $text:literal),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize, schemars::JsonSchema,
        )]
        pub enum $Enum { $($(#[$vmeta])* #[serde(rename = $text)] $Variant),* }

        impl $Enum {
            pub const ALL: &[Self] = &[$(Self::$Variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$Variant => $text),* }
            }
        }

        impl std::str::FromStr for $Enum {
            type Err = serde_json::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                serde_json::from_value(text.into())
            }
        }

        /// Makes `--help` list the fixed texts of all variants.
        impl clap::ValueEnum for $Enum {
            fn value_variants<'a>() -> &'a [Self] {
                Self::ALL
            }

            fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
                Some(clap::builder::PossibleValue::new(self.as_str()))
            }
        }

        impl std::fmt::Display for $Enum {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    )*};
}

pub(super) use closed_enums;
