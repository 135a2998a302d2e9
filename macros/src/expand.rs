//! Expands the attributes: wraps a function in one that starts a runtime and calls it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemFn, ReturnType, Signature, Type};

use crate::settings::Settings;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attribute {
    Main,
    Test,
}

impl Attribute {
    fn name(self) -> &'static str {
        match self {
            Attribute::Main => "#[kahn::main]",
            Attribute::Test => "#[kahn::test]",
        }
    }
}

/// Returns the expansion of the attribute. If there is an error, returns a `compile_error!` together with a function of
/// the same name, so that the compiler does not also report a missing function.
pub(crate) fn expand(attribute: Attribute, settings: TokenStream, item: TokenStream) -> TokenStream {
    let function = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => function,
        Err(_) => {
            let error = Error::new(item.span(), format!("{} applies to a function", attribute.name()));
            return report(&error, &item);
        }
    };
    if let Err(error) = check(attribute, &function) {
        let name = &function.sig.ident;
        return report(
            &error,
            &quote!(#[allow(dead_code, reason = "replaces a function with an error")] fn #name() {}),
        );
    }
    match syn::parse2::<Settings>(settings) {
        Ok(settings) => wrap(attribute, &settings, function),
        Err(error) => report(&error, &function),
    }
}

fn report(error: &Error, replacement: &dyn ToTokens) -> TokenStream {
    let mut tokens = error.to_compile_error();
    replacement.to_tokens(&mut tokens);
    tokens
}

/// Returns an error unless the function is a plain one without parameters.
fn check(attribute: Attribute, function: &ItemFn) -> syn::Result<()> {
    let Signature { constness, asyncness, unsafety, abi, ident, generics, inputs, variadic, .. } =
        &function.sig;
    let name = attribute.name();
    let refuse = |at: &dyn ToTokens, remedy: &str| {
        Err(Error::new_spanned(at, format!("{name} applies to a plain function: {remedy}")))
    };
    if let Some(asyncness) = asyncness {
        return refuse(
            asyncness,
            "remove the `async`; green threads block instead, and `kahn::block_on` runs a future",
        );
    }
    if let Some(constness) = constness {
        return refuse(constness, "remove the `const`");
    }
    if let Some(unsafety) = unsafety {
        return refuse(unsafety, "remove the `unsafe`");
    }
    if let Some(abi) = abi {
        return refuse(abi, "remove the `extern`");
    }
    if !generics.params.is_empty() {
        return refuse(&generics.params, "it cannot have generic parameters");
    }
    if !inputs.is_empty() {
        return refuse(inputs, "it cannot have arguments");
    }
    if let Some(variadic) = variadic {
        return refuse(variadic, "it cannot have arguments");
    }
    if attribute == Attribute::Main && ident != "main" {
        let message = format!("{name} applies to `fn main`; elsewhere, call `kahn::run`");
        return Err(Error::new_spanned(ident, message));
    }
    if attribute == Attribute::Test
        && let Some(duplicate) = function.attrs.iter().find(|attr| attr.path().is_ident("test"))
    {
        return Err(Error::new_spanned(duplicate, format!("{name} replaces `#[test]`: remove the latter")));
    }
    Ok(())
}

/// Returns an outer function that starts a runtime and an inner function with the user's body.
///
/// The outer function keeps the attributes, the visibility and the name; the inner one keeps the signature. The return
/// value of the inner function is converted to an exit code inside its green thread, because it need not be `Send`.
fn wrap(attribute: Attribute, settings: &Settings, function: ItemFn) -> TokenStream {
    let ItemFn { attrs, vis, sig, block } = function;
    let name = &sig.ident;
    let builder = settings.builder();
    let test = (attribute == Attribute::Test).then(|| quote!(#[::core::prelude::v1::test]));
    let exit_code = quote!(-> ::std::process::ExitCode);
    let (start, returns) = match attribute {
        Attribute::Main => ("main", Some(exit_code)),
        // `#[should_panic]` requires a function that returns `()`.
        Attribute::Test if returns_unit(&sig.output) => ("test", None),
        Attribute::Test => ("test_with_result", Some(exit_code)),
    };
    // With this span, the compiler reports a return type that is no `Termination` at the type in the user's source.
    let start = Ident::new(start, sig.output.span());
    let call = quote_spanned!(start.span()=> ::kahn::__private::#start(#builder, #name));
    quote! {
        #(#attrs)*
        #test
        #vis fn #name() #returns {
            #sig #block
            #call
        }
    }
}

fn returns_unit(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, ty) => matches!(&**ty, Type::Tuple(tuple) if tuple.elems.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    //! These tests check the message and the place of each error. Errors of the compiler itself are tested in
    //! `tests/compile_fail`.

    use super::*;

    /// Returns the message of the first error, and the source text that it points to.
    fn first_error(attribute: Attribute, settings: &str, item: &str) -> (String, String) {
        let expanded = expand(attribute, settings.parse().unwrap(), item.parse().unwrap());
        let text = expanded.to_string();
        let message = text
            .strip_prefix(":: core :: compile_error ! { \"")
            .and_then(|text| text.split_once("\" }"))
            .unwrap_or_else(|| panic!("no error: {text}"))
            .0
            .replace("\\'", "'");
        // Outside of a compiler, `source_text` knows the text of a single token, which the first token's span is.
        let first = expanded.into_iter().next().unwrap().span();
        (message, first.source_text().unwrap_or_default())
    }

    #[track_caller]
    fn assert_error(attribute: Attribute, settings: &str, item: &str, message: &str, at: &str) {
        let (actual, source) = first_error(attribute, settings, item);
        assert!(actual.contains(message), "{settings}, {item}: {actual}");
        assert_eq!(source, at, "{settings}, {item}: {actual}");
    }

    #[test]
    fn unknown_setting_is_an_error() {
        assert_error(
            Attribute::Main,
            "workers = 1, thread = 2",
            "fn main() {}",
            "there is no setting `thread`",
            "thread",
        );
        assert_error(
            Attribute::Test,
            "unsafe(workers)",
            "fn t() {}",
            "the only one is `unsafe(migratory)`",
            "workers",
        );
    }

    #[test]
    fn repeated_setting_is_an_error() {
        assert_error(
            Attribute::Main,
            "workers = 1, name = \"a\", workers = 2",
            "fn main() {}",
            "`workers` is given twice",
            "workers",
        );
        assert_error(
            Attribute::Test,
            "unsafe(migratory), unsafe(migratory)",
            "fn t() {}",
            "is given twice",
            "migratory",
        );
    }

    #[test]
    fn setting_without_value_or_unsafe_is_an_error() {
        assert_error(Attribute::Main, "workers", "fn main() {}", "`workers = …`", "workers");
        assert_error(Attribute::Main, "workers(4)", "fn main() {}", "`workers = …`", "workers");
        assert_error(Attribute::Main, "migratory", "fn main() {}", "write `unsafe(migratory)`", "migratory");
        assert_error(Attribute::Main, "unsafe(migratory = true)", "fn main() {}", "takes no value", "=");
    }

    #[test]
    fn item_that_is_not_a_plain_function_is_an_error() {
        for (item, message, at) in [
            ("async fn main() {}", "`kahn::block_on` runs a future", "async"),
            ("const fn main() {}", "remove the `const`", "const"),
            ("unsafe fn main() {}", "remove the `unsafe`", "unsafe"),
            ("extern \"C\" fn main() {}", "remove the `extern`", "extern"),
            ("fn main<T>() {}", "generic parameters", "T"),
            ("fn main(args: u8) {}", "it cannot have arguments", "args"),
            ("struct Main;", "applies to a function", "struct Main;"),
        ] {
            assert_error(Attribute::Main, "", item, message, at);
            assert_error(Attribute::Test, "", item, message, at);
        }
    }

    #[test]
    fn attribute_on_the_wrong_function_is_an_error() {
        assert_error(Attribute::Main, "", "fn start() {}", "applies to `fn main`", "start");
        assert_error(Attribute::Test, "", "#[test] fn t() {}", "replaces `#[test]`", "#");
    }

    #[test]
    fn error_in_the_settings_keeps_the_function() {
        let expanded =
            expand(Attribute::Main, "nonsense".parse().unwrap(), "fn main() { body() }".parse().unwrap());
        assert!(expanded.to_string().ends_with("fn main () { body () }"));
    }
}
