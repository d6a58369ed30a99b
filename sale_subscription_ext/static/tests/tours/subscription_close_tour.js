import { registry } from "@web/core/registry";

const closeWith = (...steps) => [
    {
        content: "Close the subscription",
        trigger: ".o_statusbar_buttons button[name=action_close]",
        run: "click",
    },
    ...steps,
    {
        content: "Say why",
        trigger: ".modal .o_field_widget[name=close_reason_id] input",
        run: "edit Tour Reason",
    },
    {
        trigger: 'ul.ui-autocomplete > li > a:contains("Tour Reason")',
        run: "click",
    },
    {
        trigger: ".modal footer button[name=action_apply]",
        run: "click",
    },
];

registry.category("web_tour.tours").add("sale_subscription_ext_close_tour", {
    steps: () => [
        ...closeWith(
            {
                content: "With the end of the period",
                trigger: ".modal .o_field_widget[name=close_when] input[data-value=period_end]",
                run: "click",
            },
            {
                content: "The dialog says until when it is served",
                trigger: ".modal .o_field_widget[name=preview]:contains(01/31/2026)",
            }
        ),
        {
            content: "Until then it is closing",
            trigger: ".o_field_badge[name=subscription_state]:contains(Closing)",
        },
        {
            content: "The form says when it ends",
            trigger: ".o_field_widget[name=subscription_notice]:contains(Ends with 01/31/2026)",
        },
        {
            content: "Undo it",
            trigger: ".o_statusbar_buttons button[name=action_undo_closing]",
            run: "click",
        },
        {
            content: "It goes on",
            trigger: ".o_field_badge[name=subscription_state]:contains(In Progress)",
        },
        ...closeWith({
            content: "What is paid beyond today is credited",
            trigger: ".modal .o_field_widget[name=money] input[data-value=credit]",
            run: "click",
        }),
        {
            content: "It is closed",
            trigger: ".o_field_badge[name=subscription_state]:contains(Closed)",
        },
        {
            content: "Reopen it",
            trigger: ".o_statusbar_buttons button[name=action_reopen]",
            run: "click",
        },
        {
            content: "The dialog says what that means",
            trigger: ".modal .o_field_widget[name=preview]:contains(served again)",
        },
        {
            trigger: ".modal footer .btn-primary",
            run: "click",
        },
        {
            content: "It runs again",
            trigger: ".o_field_badge[name=subscription_state]:contains(In Progress)",
        },
    ],
});
