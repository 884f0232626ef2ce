//! Closed sets of words that the documentation explains.

/// Defines such a set once, so that each word, its meaning and the documentation cannot drift apart.
macro_rules! words {
    ($(#[doc = $about:literal])+ pub enum $set:ident; $($(#[doc = $meaning:literal])+ $name:ident,)+) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $set { $($(#[doc = $meaning])+ $name,)+ }

        impl $set {
            /// Every word, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word as the Kubernetes API shows it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// What it means and what to do about it, for the reference documentation.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($meaning,)+).trim_start(),)+ }
            }
        }

        impl std::fmt::Display for $set {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

pub(super) use words;
