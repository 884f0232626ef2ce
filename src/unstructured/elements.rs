//! A JSON array, taken apart as it comes in: only one of its elements is ever held as it is written.

use zeroize::Zeroizing;

use super::unreadable::Unreadable;

/// Where an array is divided. Whether what stands between is JSON is for others to say.
pub(super) struct Elements {
    at: At,
    /// The element that is coming in, as far as it has.
    element: Zeroizing<Vec<u8>>,
    /// Bytes of an element.
    longest: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before the bracket.
    Start,
    /// Behind the bracket: an element, or the end.
    First,
    /// Behind a comma.
    Next,
    Inside(Depth),
    /// Behind the closing bracket.
    End,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Depth {
    brackets: usize,
    in_string: bool,
    escaped: bool,
}

impl Elements {
    /// Elements of at most so many bytes.
    pub fn new(longest: usize) -> Self {
        Self {
            at: At::Start,
            element: Zeroizing::default(),
            longest,
        }
    }

    /// Takes in what follows, and hands over each element that it completes.
    pub fn take<E: From<Unreadable>>(
        &mut self,
        mut bytes: &[u8],
        mut complete: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self.at {
                At::Inside(depth) => {
                    let (length, depth) = depth.until_end(bytes);
                    if self.element.len() + length > self.longest {
                        return Err(Unreadable("has an element that is too long").into());
                    }
                    self.element.extend_from_slice(&bytes[..length]);
                    self.at = At::Inside(depth);
                    bytes = &bytes[length..];
                    if let Some((&end, rest)) = bytes.split_first() {
                        complete(&self.element)?;
                        self.element.clear();
                        self.at = if end == b',' { At::Next } else { At::End };
                        bytes = rest;
                    }
                    continue;
                }
                _ if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') => {}
                At::Start if byte == b'[' => self.at = At::First,
                At::Start if byte == b'<' => return Err(Unreadable::PAGE.into()),
                At::Start => return Err(Unreadable::SHAPE.into()),
                At::First if byte == b']' => self.at = At::End,
                At::First | At::Next => {
                    self.at = At::Inside(Depth::default());
                    continue;
                }
                At::End => return Err(Unreadable::SYNTAX.into()),
            }
            bytes = rest;
        }
        Ok(())
    }

    /// Says whether the array has come to its end.
    pub fn end(&self) -> Result<(), Unreadable> {
        match self.at {
            At::End => Ok(()),
            _ => Err(Unreadable::EARLY_END),
        }
    }
}

impl Depth {
    /// How many of these bytes belong to the element: all, or those before the comma or bracket that ends it.
    fn until_end(mut self, bytes: &[u8]) -> (usize, Self) {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'[' | b'{' => self.brackets += 1,
                b',' | b']' if self.brackets == 0 => return (at, self),
                b']' | b'}' => self.brackets = self.brackets.saturating_sub(1),
                _ => {}
            }
        }
        (bytes.len(), self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    /// The elements of a text that comes in pieces of so many bytes, each of which is JSON.
    fn taken_apart(text: &[u8], piece: usize) -> Option<Vec<String>> {
        let mut elements = Elements::new(1000);
        let mut found = Vec::new();
        for piece in text.chunks(piece) {
            let complete = |element: &[u8]| -> Result<(), Unreadable> {
                let element: &RawValue =
                    serde_json::from_slice(element).map_err(|_| Unreadable::SYNTAX)?;
                found.push(element.get().to_owned());
                Ok(())
            };
            elements.take(piece, complete).ok()?;
        }
        elements.end().ok().map(|()| found)
    }

    fn as_serde_reads(text: &[u8]) -> Option<Vec<String>> {
        let elements: Vec<&RawValue> = serde_json::from_slice(text).ok()?;
        Some(elements.iter().map(|raw| raw.get().to_owned()).collect())
    }

    #[test]
    fn an_element_that_is_too_long_is_not_held() {
        let mut elements = Elements::new(10);
        let none = |_: &[u8]| -> Result<(), Unreadable> { panic!("none is complete") };
        assert!(elements.take(b"[\"123456", none).is_ok());
        assert!(elements.take(b"7890", none).is_err());
    }

    proptest! {
        #[test]
        fn an_array_in_pieces_is_what_it_is_as_a_whole(
            text in r#"\[? ?(([\[{]{0,2}("[a\\",{\]]{0,4}"|[0-9]{1,2}|null)[\]}]{0,2}|\{"a": ?[0-9"]{1,3}\}),? ?){0,4}\]? ?"#,
            piece in 1_usize..9,
        ) {
            prop_assert_eq!(taken_apart(text.as_bytes(), piece), as_serde_reads(text.as_bytes()));
        }

        #[test]
        fn any_bytes_are_what_they_are_as_a_whole(
            bytes in proptest::collection::vec(proptest::sample::select(b"[]{},:\"\\ 1a\xff".to_vec()), 0..12),
            piece in 1_usize..4,
        ) {
            prop_assert_eq!(taken_apart(&bytes, piece), as_serde_reads(&bytes));
        }
    }
}
