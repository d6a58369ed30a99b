import { registry } from "@web/core/registry";

const tick = (customer) => ({
    content: `Tick the subscription of ${customer}`,
    trigger: `.o_data_row:contains(${customer}) .o_list_record_selector input`,
    run: "click",
});

registry.category("web_tour.tours").add("sale_subscription_ext_bulk_tour", {
    steps: () => [
        tick("Tour Running"),
        tick("Tour Paused"),
        {
            content: "Renew those which are ticked",
            trigger: ".o_control_panel button[name=action_renew]",
            run: "click",
        },
        {
            content: "At other prices",
            trigger: ".modal .o_field_widget[name=prices] input[data-value=percent]",
            run: "click",
        },
        {
            trigger: ".modal .o_field_widget[name=percent] input",
            run: "edit 10 && press Tab",
        },
        {
            content: "The dialog says what they will cost",
            trigger: ".modal .o_field_widget[name=preview]:contains(33.00)",
        },
        {
            content: "And who is left out, and why",
            trigger: ".modal .o_field_widget[name=preview]:contains(Left out):contains(Paused)",
        },
        {
            trigger: ".modal footer button[name=action_apply]",
            run: "click",
        },
        {
            content: "The report says what became of each",
            trigger: ".o_field_widget[name=line_ids] .o_data_row:contains(Tour Running):contains(Done)",
        },
        {
            trigger: ".o_field_widget[name=line_ids] .o_data_row:contains(Tour Paused):contains(Left Out)",
        },
        {
            content: "The quotation is one click away",
            trigger: ".o_data_row:contains(Tour Running) button[name=action_view_made]",
            run: "click",
        },
        {
            trigger: ".o_field_badge[name=subscription_state]:contains(Renewal)",
        },
        {
            content: "Back to the list by the menu",
            trigger: "[data-menu-xmlid='sale_subscription_ext.subscription_menu_subscriptions']",
            run: "click",
        },
        {
            trigger: "[data-menu-xmlid='sale_subscription_ext.subscription_menu_all']",
            run: "click",
        },
        tick("Tour Running"),
        tick("Tour Paused"),
        {
            content: "What is rarer is in the menu Actions",
            trigger: ".o_cp_action_menus button:contains(Actions)",
            run: "click",
        },
        {
            trigger: ".o-dropdown-item:contains(Resume)",
            run: "click",
        },
        {
            content: "What isn't paused is left out",
            trigger: ".modal .o_field_widget[name=preview]:contains(1 of 2 selected):contains(isn't paused)",
        },
        {
            trigger: ".modal footer button[name=action_apply]:contains(Resume)",
            run: "click",
        },
        {
            trigger: ".o_field_widget[name=line_ids] .o_data_row:contains(Tour Paused):contains(Done)",
        },
    ],
});
