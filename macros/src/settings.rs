//! Parses the arguments of the attributes, such as `workers = 4, unsafe(migratory)`.

use proc_macro2::{Span, TokenStream};
use quote::quote_spanned;
use syn::parse::{Parse, ParseStream};
use syn::{Error, Expr, Ident, Token, parenthesized};

/// The settings with a value. Each is the name of a method of `kahn::runtime::Builder`.
const WITH_VALUE: [&str; 4] = ["workers", "stack_size", "blocking_threads", "name"];
const MIGRATORY: &str = "migratory";
const ALL: &str = "`workers`, `stack_size`, `blocking_threads`, `name` and `unsafe(migratory)`";

/// The settings of a runtime, in source order.
pub(crate) struct Settings(Vec<Setting>);

enum Setting {
    Value { name: Ident, value: Box<Expr> },
    Migratory { name: Ident, unsafe_token: Token![unsafe] },
}

impl Setting {
    fn name(&self) -> &Ident {
        match self {
            Setting::Value { name, .. } | Setting::Migratory { name, .. } => name,
        }
    }
}

impl Parse for Setting {
    fn parse(input: ParseStream<'_>) -> syn::Result<Setting> {
        if input.peek(Token![unsafe]) {
            let unsafe_token = input.parse()?;
            let inner;
            parenthesized!(inner in input);
            let name: Ident = inner.parse()?;
            if name != MIGRATORY {
                let message =
                    format!("`{name}` is not an unsafe setting; the only one is `unsafe(migratory)`");
                return Err(Error::new(name.span(), message));
            }
            if !inner.is_empty() {
                return Err(inner.error("`unsafe(migratory)` takes no value"));
            }
            return Ok(Setting::Migratory { name, unsafe_token });
        }
        let name: Ident = input.parse()?;
        if name == MIGRATORY {
            let message = "this setting is unsafe: read the Safety section of \
                           `kahn::runtime::Builder::migratory`, then write `unsafe(migratory)`";
            return Err(Error::new(name.span(), message));
        }
        if !WITH_VALUE.iter().any(|known| name == known) {
            let message = format!("there is no setting `{name}`; the settings are {ALL}");
            return Err(Error::new(name.span(), message));
        }
        if !input.peek(Token![=]) {
            return Err(Error::new(name.span(), format!("this setting needs a value: `{name} = …`")));
        }
        input.parse::<Token![=]>()?;
        Ok(Setting::Value { name, value: input.parse()? })
    }
}

impl Parse for Settings {
    fn parse(input: ParseStream<'_>) -> syn::Result<Settings> {
        let mut settings = Vec::<Setting>::new();
        while !input.is_empty() {
            let setting = input.parse::<Setting>()?;
            let name = setting.name();
            if settings.iter().any(|earlier| earlier.name() == name) {
                return Err(Error::new(name.span(), format!("the setting `{name}` is given twice")));
            }
            settings.push(setting);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(Settings(settings))
    }
}

impl Settings {
    /// Returns an expression of type `kahn::runtime::Builder`. The compiler reports a wrong type at the value, whose
    /// tokens keep their spans.
    pub(crate) fn builder(&self) -> TokenStream {
        let here = Span::call_site();
        let new = quote_spanned!(here=> ::kahn::runtime::Builder::new());
        self.0.iter().fold(new, |builder, setting| match setting {
            Setting::Value { name, value } => quote_spanned!(here=> #builder.#name(#value)),
            // The block has the span of the user's `unsafe`, so `#![forbid(unsafe_code)]` applies to it.
            Setting::Migratory { name, unsafe_token } => {
                quote_spanned!(unsafe_token.span=> #unsafe_token { #builder.#name() })
            }
        })
    }
}
