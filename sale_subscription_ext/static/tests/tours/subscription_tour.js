import { registry } from "@web/core/registry";
import tourUtils from "@sale/js/tours/tour_utils";

const choosePlan = (plan) => [
    {
        content: `Choose the plan ${plan}`,
        trigger: ".o_field_widget[name=plan_id] input",
        run: `edit ${plan}`,
    },
    {
        trigger: `ul.ui-autocomplete > li > a:contains("${plan}")`,
        run: "click",
    },
];

registry.category("web_tour.tours").add("sale_subscription_ext_tour", {
    steps: () => [
        ...tourUtils.createNewSalesOrder(),
        ...tourUtils.selectCustomer("Tour Customer"),
        ...choosePlan("Tour Monthly"),
        ...tourUtils.addProduct("Tour Hosting"),
        {
            content: "The line is priced",
            trigger: ".o_data_row .o_field_widget[name=price_unit] input:value(30.00)",
        },
        ...tourUtils.clickSomewhereElse(),
        {
            content: "The line follows the plan of the order",
            trigger: ".o_data_row .o_data_cell[name=plan_id]:contains(Tour Monthly)",
        },
        {
            content: "Confirm the quotation",
            trigger: ".o_statusbar_buttons button[name=action_confirm]",
            run: "click",
        },
        {
            content: "The order is a running subscription",
            trigger: ".o_field_badge[name=subscription_state]:contains(In Progress)",
        },
        {
            content: "Its monthly value is shown",
            trigger: ".oe_stat_button[name=action_view_mrr]:contains(30.00)",
        },
        {
            content: "Bill what is due",
            trigger: ".o_statusbar_buttons button[name=action_bill_now]",
            run: "click",
        },
        {
            content: "The invoice is posted",
            trigger: ".o_arrow_button_current[data-value=posted]",
        },
        {
            content: "Back to the subscription",
            trigger: ".o_back_button a, .breadcrumb-item.o_back_button a",
            run: "click",
        },
        {
            content: "Look at the billing periods",
            trigger: "a[name=subscription]",
            run: "click",
        },
        {
            content: "The first period is invoiced",
            trigger: ".o_field_widget[name=subscription_period_ids] .o_data_row:contains(Invoiced)",
        },
        {
            content: "Close the subscription",
            trigger: ".o_statusbar_buttons button[name=action_close]",
            run: "click",
        },
        {
            content: "Say why",
            trigger: ".modal .o_field_widget[name=close_reason_id] input",
            run: "edit Tour Reason",
        },
        {
            trigger: '.modal ul.ui-autocomplete > li > a:contains("Tour Reason"), ul.ui-autocomplete > li > a:contains("Tour Reason")',
            run: "click",
        },
        {
            trigger: ".modal footer button[name=action_apply]",
            run: "click",
        },
        {
            content: "The subscription is closed",
            trigger: ".o_field_badge[name=subscription_state]:contains(Closed)",
        },
        {
            content: "Open its MRR movements",
            trigger: ".oe_stat_button[name=action_view_mrr]",
            run: "click",
        },
        {
            content: "New and churn cancel out",
            trigger: ".o_list_view .o_data_row:contains(Churn)",
        },
    ],
});
