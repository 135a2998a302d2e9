//! From a function to the function that starts a runtime for it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Error, Ident, ItemFn, ReturnType, Signature, Type};

use crate::settings::Settings;

/// Which attribute it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    Main,
    Test,
}

impl Over {
    fn attribute(self) -> &'static str {
        match self {
            Over::Main => "#[kahn::main]",
            Over::Test => "#[kahn::test]",
        }
    }
}

/// What the attribute stands for. With an error, it comes together with what keeps further errors from following.
pub(crate) fn expand(over: Over, settings: TokenStream, item: TokenStream) -> TokenStream {
    let function = match syn::parse2::<ItemFn>(item.clone()) {
        Ok(function) => function,
        Err(_) => {
            let error = Error::new(item.span(), format!("{} goes over a function", over.attribute()));
            return report(&error, &item);
        }
    };
    if let Err(error) = check(over, &function) {
        let name = &function.sig.ident;
        return report(
            &error,
            &quote!(#[allow(dead_code, reason = "what stands in its place is an error")] fn #name() {}),
        );
    }
    match syn::parse2::<Settings>(settings) {
        Ok(settings) => around(over, &settings, function),
        Err(error) => report(&error, &function),
    }
}

fn report(error: &Error, instead: &dyn ToTokens) -> TokenStream {
    let mut tokens = error.to_compile_error();
    instead.to_tokens(&mut tokens);
    tokens
}

/// Refuses what is no plain function.
fn check(over: Over, function: &ItemFn) -> syn::Result<()> {
    let Signature { constness, asyncness, unsafety, abi, ident, generics, inputs, variadic, .. } =
        &function.sig;
    let attribute = over.attribute();
    let refuse = |at: &dyn ToTokens, what: &str| {
        Err(Error::new_spanned(at, format!("{attribute} goes over a plain function: {what}")))
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
    if over == Over::Main && ident != "main" {
        let message = format!("{attribute} goes over `fn main`; elsewhere, call `kahn::run`");
        return Err(Error::new_spanned(ident, message));
    }
    if over == Over::Test
        && let Some(double) = function.attrs.iter().find(|attr| attr.path().is_ident("test"))
    {
        return Err(Error::new_spanned(
            double,
            format!("{attribute} stands instead of `#[test]`: remove this"),
        ));
    }
    Ok(())
}

/// The outer function keeps attributes, visibility and name; the inner one has the signature and the body. What the inner
/// one returns becomes an exit code in its green thread, because it need not be `Send`.
fn around(over: Over, settings: &Settings, function: ItemFn) -> TokenStream {
    let ItemFn { attrs, vis, sig, block } = function;
    let name = &sig.ident;
    let builder = settings.builder();
    let test = (over == Over::Test).then(|| quote!(#[::core::prelude::v1::test]));
    let exit_code = quote!(-> ::std::process::ExitCode);
    let (start, returns) = match over {
        Over::Main => ("main", Some(exit_code)),
        // `#[should_panic]` wants a function that returns nothing.
        Over::Test if returns_nothing(&sig.output) => ("test", None),
        Over::Test => ("test_with_result", Some(exit_code)),
    };
    // A type that no `main` may return is reported where it is written.
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

fn returns_nothing(output: &ReturnType) -> bool {
    match output {
        ReturnType::Default => true,
        ReturnType::Type(_, to) => matches!(&**to, Type::Tuple(tuple) if tuple.elems.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    //! What is refused, why, and at which place in the source: the compiler's own errors are not ours to test.

    use super::*;

    /// The first error's message, and the piece of the source that it points to.
    fn refusal(over: Over, settings: &str, item: &str) -> (String, String) {
        let expanded = expand(over, settings.parse().unwrap(), item.parse().unwrap());
        let text = expanded.to_string();
        let message = text
            .strip_prefix(":: core :: compile_error ! { \"")
            .and_then(|text| text.split_once("\" }"))
            .unwrap_or_else(|| panic!("no error: {text}"))
            .0
            .replace("\\'", "'");
        // Without a compiler, a span's text is known for what it covers whole.
        let first = expanded.into_iter().next().unwrap().span();
        (message, first.source_text().unwrap_or_default())
    }

    fn refused(over: Over, settings: &str, item: &str, message: &str, at: &str) {
        let (said, there) = refusal(over, settings, item);
        assert!(said.contains(message), "{settings}, {item}: {said}");
        assert_eq!(there, at, "{settings}, {item}: {said}");
    }

    #[test]
    fn a_setting_that_does_not_exist() {
        refused(
            Over::Main,
            "workers = 1, thread = 2",
            "fn main() {}",
            "there is no setting `thread`",
            "thread",
        );
        refused(Over::Test, "unsafe(workers)", "fn t() {}", "the only one is `unsafe(migratory)`", "workers");
    }

    #[test]
    fn a_setting_given_twice() {
        refused(
            Over::Main,
            "workers = 1, name = \"a\", workers = 2",
            "fn main() {}",
            "`workers` is given twice",
            "workers",
        );
        refused(
            Over::Test,
            "unsafe(migratory), unsafe(migratory)",
            "fn t() {}",
            "is given twice",
            "migratory",
        );
    }

    #[test]
    fn a_setting_without_its_value_or_its_promise() {
        refused(Over::Main, "workers", "fn main() {}", "`workers = …`", "workers");
        refused(Over::Main, "workers(4)", "fn main() {}", "`workers = …`", "workers");
        refused(Over::Main, "migratory", "fn main() {}", "write `unsafe(migratory)`", "migratory");
        refused(Over::Main, "unsafe(migratory = true)", "fn main() {}", "takes no value", "=");
    }

    #[test]
    fn what_is_no_plain_function() {
        for (item, message, at) in [
            ("async fn main() {}", "`kahn::block_on` runs a future", "async"),
            ("const fn main() {}", "remove the `const`", "const"),
            ("unsafe fn main() {}", "remove the `unsafe`", "unsafe"),
            ("extern \"C\" fn main() {}", "remove the `extern`", "extern"),
            ("fn main<T>() {}", "generic parameters", "T"),
            ("fn main(args: u8) {}", "it cannot have arguments", "args"),
            ("struct Main;", "goes over a function", "struct Main;"),
        ] {
            refused(Over::Main, "", item, message, at);
            refused(Over::Test, "", item, message, at);
        }
    }

    #[test]
    fn the_other_attribute_was_meant() {
        refused(Over::Main, "", "fn start() {}", "goes over `fn main`", "start");
        refused(Over::Test, "", "#[test] fn t() {}", "stands instead of `#[test]`", "#");
    }

    #[test]
    fn an_error_in_the_settings_leaves_the_function_there() {
        let expanded =
            expand(Over::Main, "nonsense".parse().unwrap(), "fn main() { body() }".parse().unwrap());
        assert!(expanded.to_string().ends_with("fn main () { body () }"));
    }
}
