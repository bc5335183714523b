//! Settings of windows that slide over images, and their forms in recipes.

use crate::check;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use spectral_core::{Shape, Window};

/// Zeros around an image.
///
/// In recipes: a number (all sides), `[height, width]` (above and below, left and right), `[top, bottom, left, right]`,
/// `"valid"` (none) or `"same"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// Rows above and below, then columns left and right.
    Sides([usize; 4]),
    /// As many as keep height and width, for windows with steps of one. If the number is odd, the larger half goes
    /// below and to the right (`SAME_UPPER` of ONNX, `same` of Keras and PyTorch).
    Same,
}

impl Default for Padding {
    fn default() -> Self {
        Self::Sides([0; 4])
    }
}

impl From<usize> for Padding {
    fn from(all: usize) -> Self {
        Self::Sides([all; 4])
    }
}

impl From<[usize; 4]> for Padding {
    fn from(sides: [usize; 4]) -> Self {
        Self::Sides(sides)
    }
}

impl Padding {
    /// The window with its padding.
    pub(crate) fn around(self, window: Window) -> Window {
        let padding = match self {
            Self::Sides(sides) => sides,
            Self::Same => {
                let [down, across] = window.axes().map(|axis| axis.span().unwrap_or(1) - 1);
                [down / 2, down.div_ceil(2), across / 2, across.div_ceil(2)]
            }
        };
        Window { padding, ..window }
    }
}

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::Same => to.serialize_str("same"),
            Self::Sides([top, bottom, left, right]) if top == bottom && left == right => {
                pair::serialize(&[top, left], to)
            }
            Self::Sides(sides) => sides.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            All(usize),
            Both([usize; 2]),
            Sides([usize; 4]),
            Name(String),
        }
        let wrong =
            || D::Error::custom("`padding` is a number, [height, width], [top, bottom, left, right] or \"same\"");
        match Form::deserialize(from).map_err(|_| wrong())? {
            Form::All(n) => Ok(n.into()),
            Form::Both([height, width]) => Ok([height, height, width, width].into()),
            Form::Sides(sides) => Ok(sides.into()),
            Form::Name(name) if name == "same" => Ok(Self::Same),
            Form::Name(name) if name == "valid" => Ok(0.into()),
            Form::Name(_) => Err(wrong()),
        }
    }
}

/// Height and width: one number if they are equal, else a list of both.
pub(crate) mod pair {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(&[height, width]: &[usize; 2], to: S) -> Result<S::Ok, S::Error> {
        if height == width { height.serialize(to) } else { [height, width].serialize(to) }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<[usize; 2], D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Both(usize),
            Each([usize; 2]),
        }
        let form = Form::deserialize(from);
        match form.map_err(|_| serde::de::Error::custom("height and width are a number or a list of two, [3, 5]"))? {
            Form::Both(n) => Ok([n; 2]),
            Form::Each(each) => Ok(each),
        }
    }
}

/// As [`pair`], for a setting that may be absent.
pub(crate) mod maybe_pair {
    use super::pair;
    use serde::{Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(setting: &Option<[usize; 2]>, to: S) -> Result<S::Ok, S::Error> {
        match setting {
            Some(both) => pair::serialize(both, to),
            None => ().serialize(to),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<[usize; 2]>, D::Error> {
        pair::deserialize(from).map(Some)
    }
}

pub(crate) fn one_each() -> [usize; 2] {
    [1; 2]
}

pub(crate) fn is_one_each(pair: &[usize; 2]) -> bool {
    *pair == [1; 2]
}

/// Channels, height and width of the only input of a layer over images.
pub(crate) fn image(kind: &'static str, inputs: &[Shape]) -> spectral_core::Result<[usize; 3]> {
    let input = check::only(kind, inputs)?;
    let [channels, height, width] = *input.extents() else {
        let problem = format!("takes images [channels, height, width], got {input}; put a `reshape` layer before it");
        return Err(check::bad(kind, problem));
    };
    Ok([channels, height, width])
}

/// Places of a window with this padding in images of this height and width, down and across.
pub(crate) fn places(
    kind: &'static str,
    window: Window,
    padding: Padding,
    [height, width]: [usize; 2],
) -> spectral_core::Result<[usize; 2]> {
    let settings = [window.kernel, window.stride, window.dilation];
    if settings.iter().flatten().any(|n| *n == 0) {
        return Err(check::bad(kind, "`kernel`, `stride` and `dilation` must be at least 1"));
    }
    if padding == Padding::Same && window.stride != [1; 2] {
        return Err(check::bad(kind, "`padding = \"same\"` needs a `stride` of 1; give the padding as numbers"));
    }
    window.places([height, width]).ok_or_else(|| {
        let [down, across] = window.kernel;
        let problem = format!(
            "a kernel of {down}x{across} does not fit into images of {height}x{width}; take a smaller one, or padding"
        );
        check::bad(kind, problem)
    })
}
