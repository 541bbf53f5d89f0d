// What two pages say of an account.
import { cents } from "./format.js";
import { bar, legend } from "./parts.js";

/** The bar and the legend of an account's window. */
export function standing(account) {
  const parts = [["spent", "spent", account.spentCents], ["held", "held", account.heldCents], ["back", "free", account.freeCents]];
  return [bar(parts, account.limitCents, { class: "bar tall" }), legend(parts)];
}

export function period(account) {
  return account.window === "total" ? "in all" : `a ${account.window}, now ${account.period}`;
}

/** The body of `PUT /account/{id}` that a form says. */
export function asked(form) {
  return { limitCents: Number(form.elements.limitCents.value), window: form.elements.window.value };
}
