import { registry } from "@web/core/registry";
import tourUtils from "@sale/js/tours/tour_utils";

registry.category("web_tour.tours").add("sale_subscription_ext_renew_tour", {
    steps: () => [
        {
            content: "Renew the running subscription",
            trigger: ".o_statusbar_buttons button[name=action_renew]",
            run: "click",
        },
        {
            content: "A quotation with today's lines is open",
            trigger: ".o_field_badge[name=subscription_state]:contains(Renewal)",
        },
        {
            content: "Raise the price",
            trigger: ".o_data_row .o_data_cell[name=price_unit]",
            run: "click",
        },
        {
            trigger: ".o_data_row .o_field_widget[name=price_unit] input",
            run: "edit 36",
        },
        ...tourUtils.clickSomewhereElse(),
        {
            content: "The first invoice of the renewal is announced",
            trigger: ".o_field_widget[name=first_invoice_total]:contains(36.00)",
        },
        {
            content: "Confirm it",
            trigger: ".o_statusbar_buttons button[name=action_confirm]",
            run: "click",
        },
        {
            content: "It waits for the end of what is paid",
            trigger: ".o_field_widget[name=subscription_notice]:contains(Takes over from)",
        },
        {
            content: "Open the chain of contracts",
            trigger: ".oe_stat_button[name=action_view_chain]:contains(2)",
            run: "click",
        },
        {
            content: "The contract still runs",
            trigger: ".o_list_view .o_data_row:contains(In Progress)",
        },
        {
            content: "Its renewal is there",
            trigger: ".o_list_view .o_data_row:contains(Renewal)",
        },
    ],
});
