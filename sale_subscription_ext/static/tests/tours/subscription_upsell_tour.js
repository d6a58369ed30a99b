import { registry } from "@web/core/registry";
import tourUtils from "@sale/js/tours/tour_utils";

registry.category("web_tour.tours").add("sale_subscription_ext_upsell_tour", {
    steps: () => [
        {
            content: "Sell more on the running subscription",
            trigger: ".o_statusbar_buttons button[name=action_upsell]",
            run: "click",
        },
        {
            content: "A quotation with today's lines is open",
            trigger: ".o_field_badge[name=subscription_state]:contains(Amendment)",
        },
        {
            content: "Edit the quantity",
            trigger: ".o_data_row .o_data_cell[name=product_uom_qty]",
            run: "click",
        },
        {
            trigger: ".o_data_row .o_field_widget[name=product_uom_qty] input",
            run: "edit 3",
        },
        ...tourUtils.clickSomewhereElse(),
        {
            content: "The line costs three times as much",
            trigger: ".o_data_row .o_data_cell:contains(90.00)",
        },
        ...tourUtils.addProduct("Tour Installation"),
        {
            content: "The product is priced",
            trigger: ".o_data_row .o_field_widget[name=price_unit] input:value(200.00)",
        },
        ...tourUtils.clickSomewhereElse(),
        {
            content: "What is due and what recurs is on the form: 2 × 14.52 and 200 at once, 90 each month",
            trigger: ".o_field_widget[name=amendment_total]:contains(229.03)",
        },
        {
            trigger: ".o_field_widget[name=amendment_recurring]:contains(90.00)",
        },
        {
            content: "Apply it at once",
            trigger: ".o_statusbar_buttons button[name=action_open_apply_dialog]",
            run: "click",
        },
        {
            content: "The dialog says what that costs",
            trigger: ".modal tr[name=amendment_total]:contains(229.03)",
        },
        {
            trigger: ".modal footer button[name=action_apply]",
            run: "click",
        },
        {
            content: "It is applied",
            trigger: ".o_field_widget[name=applied_date]",
        },
        {
            content: "Back to the subscription",
            trigger: ".o_back_button a, .breadcrumb-item.o_back_button a",
            run: "click",
        },
        {
            content: "Its monthly value has grown",
            trigger: ".oe_stat_button[name=action_view_mrr]:contains(90.00)",
        },
        {
            content: "The amendment is on the smart button",
            trigger: ".oe_stat_button[name=action_view_amendments]:contains(1)",
        },
    ],
});
