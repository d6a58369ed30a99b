{
    'name': "Subscriptions",
    'version': '19.0.1.0.0',
    'category': 'Sales/Subscriptions',
    'summary': "Quote, bill, change and measure recurring contracts on sales orders",
    'author': "Sale Subscription Ext contributors",
    'license': 'LGPL-3',
    'depends': ['sale_management'],
    'data': [
        # Security.
        'security/res_groups.xml',
        'security/ir.model.access.csv',
        'security/ir_rules.xml',
        # Record data; e-mail templates come before the stages which send them.
        'data/mail_template_data.xml',
        'data/subscription_stage_data.xml',
        'data/subscription_plan_data.xml',
        'data/subscription_close_reason_data.xml',
        'data/mail_activity_type_data.xml',
        'data/ir_cron_data.xml',
        # Wizard views, before the views whose buttons open them.
        'wizard/subscription_change_day_views.xml',
        'wizard/subscription_close_views.xml',
        'wizard/subscription_start_views.xml',
        'wizard/subscription_hand_over_views.xml',
        'wizard/subscription_pause_views.xml',
        'wizard/subscription_resume_views.xml',
        # Model views.
        'views/subscription_period_views.xml',
        'views/subscription_event_views.xml',
        'views/subscription_billing_run_line_views.xml',
        'views/subscription_billing_run_views.xml',
        'views/subscription_stage_views.xml',
        'views/subscription_close_reason_views.xml',
        'views/product_pricelist_item_views.xml',
        'views/product_template_views.xml',
        'views/subscription_plan_views.xml',
        'views/sale_order_template_views.xml',
        'views/sale_order_views.xml',
        'views/subscription_amendment_views.xml',
        'views/subscription_views.xml',
        'views/res_config_settings_views.xml',
        # QWeb templates.
        'report/sale_order_templates.xml',
        'views/sale_portal_templates.xml',
        'views/subscription_amendment_templates.xml',
        # Menus, once every action exists.
        'views/subscription_menus.xml',
    ],
    'demo': [
        'demo/product_demo.xml',
        'demo/res_partner_demo.xml',
        'demo/sale_order_demo.xml',
        'demo/subscription_history_demo.xml',
    ],
    'assets': {
        'web.assets_tests': [
            'sale_subscription_ext/static/tests/tours/**/*',
        ],
    },
    'post_init_hook': 'post_init_hook',
    'application': True,
}
