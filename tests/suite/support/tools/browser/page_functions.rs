//! JavaScript that runs in the page: evaluation of expressions, and the places of elements.

use serde_json::Value;

/// Functions that find elements, also inside of open shadow roots.
const PAGE_FUNCTIONS: &str = include_str!("page_functions.js");

/// Wraps an expression, so that the result is a promise of JSON: the value, or the error. A promise
/// is awaited. What JSON cannot express is null.
pub(super) fn evaluation(expression: &str) -> String {
    format!(
        "(async () => {{\n\
         try {{ return JSON.stringify({{ value: (await (\n{expression}\n)) ?? null }}); }}\n\
         catch (error) {{ return JSON.stringify({{ error: String(error?.stack ? error + '\\n' + error.stack : error) }}); }}\n\
         }})()"
    )
}

/// Returns the value of an evaluation.
pub(super) fn value_of(result: &Value) -> Result<Value, String> {
    let json = result.as_str().ok_or_else(|| format!("no result, but {result}"))?;
    let mut result: Value = serde_json::from_str(json).map_err(|error| format!("{error} in {json}"))?;
    match result.get("error").and_then(Value::as_str) {
        Some(error) => Err(error.to_owned()),
        None => Ok(result.get_mut("value").map(Value::take).unwrap_or_default()),
    }
}

/// Returns an expression for the element at a path of selectors.
pub(super) fn element(path: &str) -> String {
    format!("{PAGE_FUNCTIONS}.find({})", Value::from(path))
}

/// Returns an expression for the centre of the element at a path of selectors.
pub(super) fn point_of_element(path: &str) -> String {
    let path = Value::from(path);
    format!("(({{ pointOf, find }}) => pointOf(() => find({path})))({PAGE_FUNCTIONS})")
}

/// Returns an expression for the centre of the button with this text or label.
pub(super) fn point_of_button(label: &str) -> String {
    let label = Value::from(label);
    format!("(({{ pointOf, findButton }}) => pointOf(() => findButton({label})))({PAGE_FUNCTIONS})")
}
